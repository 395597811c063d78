import type { RunResult } from '../scenarios/run-result.ts';

interface Column {
  title: string;
  value: (measures: Record<string, unknown>) => string;
}

const number = (value: unknown, show: (known: number) => string) =>
  typeof value === 'number' && Number.isFinite(value) ? show(value) : '–';
const percent = (name: string) => (measures: Record<string, unknown>) =>
  number(measures[name], (value) => `${(100 * value).toFixed(2)} %`);
const rounded =
  (name: string, digits = 0) =>
  (measures: Record<string, unknown>) =>
    number(measures[name], (value) => value.toLocaleString('en', { maximumFractionDigits: digits }));
const plain = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value));

const drainColumns: Column[] = [
  { title: 'ceiling used', value: percent('ceilingUsed') },
  { title: 'quota 429', value: rounded('quota429') },
  { title: 'overshoot', value: percent('overshoot') },
  { title: 'share error', value: percent('shareErrorMax') },
  { title: 'Jain', value: rounded('jain', 4) },
  { title: 'Gini', value: rounded('gini', 4) },
  {
    title: 'gap / bound',
    value: (measures) => `${rounded('gapMax')(measures)} / ${rounded('gapBound')(measures)}`,
  },
  { title: 'calls/s', value: rounded('callsPerSecond', 1) },
];
const neighbourColumns: Column[] = [
  { title: 'alone p50 ms', value: rounded('aloneP50Ms', 1) },
  { title: 'alone p99 ms', value: rounded('aloneP99Ms', 1) },
  { title: 'beside p50 ms', value: rounded('lightP50Ms', 1) },
  { title: 'beside p99 ms', value: rounded('lightP99Ms', 1) },
  { title: 'alone p99 ms, at the provider', value: rounded('arrivalAloneP99Ms', 1) },
  { title: 'beside p99 ms, at the provider', value: rounded('arrivalLightP99Ms', 1) },
  { title: 'holds', value: (measures) => plain(measures.holds) },
];

/** What a scenario must hold, that it did not: nothing when all is well. */
function broken(measures: Record<string, unknown>): string {
  const holds = Object.entries((measures.holds ?? {}) as Record<string, boolean>);
  const names = holds.filter(([, held]) => !held).map(([name]) => name);
  return names.length > 0 ? names.join(', ') : 'nothing';
}
const eventColumns: Column[] = [
  { title: 'does not hold', value: broken },
  { title: 'jobs accepted', value: rounded('accepted') },
  { title: 'lost', value: rounded('lost') },
];

/** Measures that have a column or say the same as one. */
const notListed = new Set(['gapMean', 'gapVariance', 'perCeiling', 'calls']);
const inColumns = new Set([
  'ceilingUsed',
  'quota429',
  'overshoot',
  'shareErrorMax',
  'jain',
  'gini',
  'gapMax',
  'gapBound',
  'callsPerSecond',
  'accepted',
  'lost',
]);

function table(rows: readonly RunResult[], columns: readonly Column[]): string[] {
  return [
    `| run | ${columns.map(({ title }) => title).join(' | ')} |`,
    `|---|${columns.map(() => '---:').join('|')}|`,
    ...rows.map(
      ({ name, measures }) => `| ${name} | ${columns.map(({ value }) => value(measures)).join(' | ')} |`,
    ),
  ];
}

function details(run: RunResult): string[] {
  const flags = Object.entries(run.flags).map(([flag, value]) => `${flag} ${plain(value)}`);
  const others = Object.entries(run.measures)
    .filter(([name]) => run.scenario === 'noisy-neighbour' || !(inColumns.has(name) || notListed.has(name)))
    .map(([name, value]) => `\`${name}\` ${plain(value)}`);
  return [
    `### ${run.name}`,
    '',
    `Flags: ${flags.join(', ')}.`,
    ...(others.length > 0 ? ['', `Also: ${others.join(', ')}.`] : []),
    '',
    ...run.plots.map((plot) => `![${plot.title}](${plotFile(run, plot)})\n`),
  ];
}

export const plotFile = (run: { name: string }, plot: { name: string }) => `${run.name}-${plot.name}.svg`;

/** Everything that fills a provider's queue and drains it: the product, and what it is compared with. */
const drains = new Map([
  ['drain', 'Sluice'],
  ['baseline-bullmq', 'stock BullMQ with its limiter'],
  ['baseline-retry-loop', 'clients that retry'],
]);
const isEvent = ({ measures }: RunResult) => typeof measures.holds === 'object';

/** One table: the same provider and calls below one another. */
function drainSection(runs: readonly RunResult[]): string[] {
  const own = runs.filter(({ scenario }) => drains.has(scenario));
  if (own.length === 0) return [];
  const setting = ({ flags }: RunResult) =>
    [flags.shape, flags.dimension, flags.mix, `${String(flags['window-seconds'])} s windows`].join(', ');
  const order = [...drains.keys()];
  const sorted = own.toSorted(
    (one, other) =>
      setting(one).localeCompare(setting(other)) ||
      order.indexOf(one.scenario) - order.indexOf(other.scenario),
  );
  const named = sorted.map((run) => ({ ...run, name: `${setting(run)}: ${drains.get(run.scenario)}` }));
  return ['## Drain, and what it is compared with', '', ...table(named, drainColumns), ''];
}

function eventSection(runs: readonly RunResult[]): string[] {
  const own = runs.filter(isEvent);
  if (own.length === 0) return [];
  const columns = [...eventColumns, ...drainColumns];
  return ['## Something happens in the middle', '', ...table(own, columns), ''];
}

function otherSections(runs: readonly RunResult[]): string[] {
  const others = runs.filter((run) => !drains.has(run.scenario) && !isEvent(run));
  return [...Map.groupBy(others, ({ scenario }) => scenario)].flatMap(([scenario, own]) => [
    `## ${scenario}`,
    '',
    ...table(own, scenario === 'noisy-neighbour' ? neighbourColumns : drainColumns),
    '',
  ]);
}

/** The whole report: its tables, then every run with its plots. */
export function renderReport(runs: readonly RunResult[]): string {
  const machines = [...new Set(runs.map(({ machine }) => machine))].filter((each) => each !== undefined);
  return [
    '# Load scenarios',
    '',
    `Written by \`npm run loadtest:report\` from the runs of \`npm run loadtest -- <scenario>\`. Simulator, judge, Redis and the measured processes share one machine (${machines.join('; ')}). Every number but the queue wait of the light tenant comes from the arrival log of the provider simulator. Ceiling used: admitted amount over the ceiling in whole windows after the first. Overshoot: fullest rolling window of all arrivals over the ceiling, minus 1. Share error: largest deviation of a tenant from its weighted share over three windows. Gap: largest difference of service per weight between two tenants over any interval in which both had work waiting; the bound is 2·max(w_in·L_in, w_out·M).`,
    '',
    ...drainSection(runs),
    ...eventSection(runs),
    ...otherSections(runs),
    '## Runs',
    '',
    ...runs.flatMap(details),
  ].join('\n');
}
