import { type Cell, sharedProcesses } from './cells.ts';
import type { Environment } from './environment.ts';
import { markdownTable, shown } from './markdown-table.ts';
import type { BenchOptions } from './options.ts';
import { isNoisy, type Spread } from './spread.ts';

export interface Report {
  environment: Environment;
  options: Omit<BenchOptions, 'out' | 'profile' | 'json' | 'against'>;
  cells: Cell[];
  spread: Spread[];
}

const header = [
  'target',
  'calls/s',
  'p50 ms',
  'p99 ms',
  'added p50',
  'added p99',
  'x stock',
  'CPU us/call',
  'by process',
  'errors',
];

function rowOf(cell: Cell, stock: Cell | undefined): string[] {
  const own = Object.entries(cell.cpuUsPerCall).filter(([name]) => !sharedProcesses.includes(name));
  const errors = Object.entries(cell.errors).map(([reason, count]) => `${reason}: ${count}`);
  return [
    errors.length > 0 ? `${cell.target} (ERRORS)` : cell.target,
    shown(cell.callsPerSecond),
    shown(cell.latencyMsP50, 2),
    shown(cell.latencyMsP99, 2),
    shown(cell.addedMsP50, 2),
    shown(cell.addedMsP99, 2),
    stock ? shown(cell.callsPerSecond / stock.callsPerSecond, 2) : '-',
    own.length > 0 ? shown(cell.ownCpuUsPerCall) : '-',
    own.map(([name, us]) => `${name} ${shown(us)}`).join(', ') || '-',
    errors.join(', ') || '0',
  ];
}

function cellTables({ options, cells }: Report): string[] {
  return options.latency.flatMap((latencyMs) =>
    options.concurrency.map((concurrency) => {
      const here = cells.filter((cell) => cell.latencyMs === latencyMs && cell.concurrency === concurrency);
      const names = new Set([...options.targets, ...here.map(({ target }) => target)]);
      const inOrder = [...names].flatMap((target) => here.filter((cell) => cell.target === target));
      const stock = here.find(({ target }) => target === 'stock');
      const title = `### Provider latency ${latencyMs} ms, ${concurrency} in flight`;
      return `${title}\n\n${markdownTable(
        header,
        inOrder.map((cell) => rowOf(cell, stock)),
      )}`;
    }),
  );
}

function spreadTable(spread: readonly Spread[]): string {
  const rows = spread.map(({ pair, latencyMs, concurrency, callsRatio, latencyMsP50Apart }) => [
    pair,
    shown(latencyMs),
    shown(concurrency),
    shown(callsRatio.median, 3),
    `${shown(callsRatio.least, 3)} to ${shown(callsRatio.greatest, 3)}`,
    shown(latencyMsP50Apart, 2),
  ]);
  return markdownTable(
    ['pair', 'latency ms', 'in flight', 'calls/s again/first', 'over the rounds', 'p50 apart, ms, at most'],
    rows,
  );
}

const noisyRun =
  '**Noisy run**: equal visits differ by more than 15 % in calls/s. Do not quote calls/s or latencies of it; CPU per call holds better.';

/** The report as Markdown. */
export function renderReport(report: Report): string {
  const { environment, options, spread } = report;
  const parts = [
    '# Bench: what a call costs through each kind of broker',
    environmentLines(environment, options).join('\n'),
    ...cellTables(report),
  ];
  if (spread.length > 0)
    parts.push('### A/A: the same processes visited twice in each round', spreadTable(spread));
  if (isNoisy(spread)) parts.push(noisyRun);
  return `${parts.join('\n\n')}\n`;
}

function environmentLines(environment: Environment, options: Report['options']): string[] {
  const { date, node, redis, packages, cores, cpu, durability, loadBefore, loadAfter } = environment;
  const versions = Object.entries(packages)
    .map(([name, version]) => `${name} ${version}`)
    .join(', ');
  return [
    `- ${date}; Node ${node}; Redis ${redis}; ${versions}`,
    `- ${cores} cores (${cpu}) shared by generator, simulator, targets and Redis; load average ${shown(loadBefore, 2)} before, ${shown(loadAfter, 2)} at the end`,
    `- durability: ${durability}; provider answers with +-20 % jitter`,
    `- closed loop, keep-alive, one call per connection; body about ${environment.bodyBytes} bytes, answer about ${environment.answerBytes} bytes`,
    `- ${options.rounds} interleaved rounds of ${options.seconds} s after ${options.warmup} s of warm-up (and ${options.heat} s once per target); medians over rounds, exact quantiles`,
    '- added: quantile minus that of `direct` in the same round; CPU: user and system time per call over all rounds, generator and simulator left out',
  ];
}
