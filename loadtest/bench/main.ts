// Measures Sluice next to the provider itself, a plain proxy and a minimal broker on stock BullMQ, in one run:
// `npm run bench`. What is measured and how: report.ts prints it with the numbers.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { summarise } from './cells.ts';
import { Children } from './children.ts';
import { loadAverage, readEnvironment } from './environment.ts';
import { type BenchOptions, readOptions } from './options.ts';
import { findBenchServer, serverVersion } from './redis-server.ts';
import { type Report, renderReport } from './report.ts';
import { runRounds } from './run-rounds.ts';
import { spreadOf } from './spread.ts';
import { startTargets } from './targets.ts';

const resultsFolder = fileURLToPath(new URL('../results', import.meta.url));
const interruptedCode = 130;

async function runBench(options: BenchOptions, children: Children, folder: string): Promise<Report> {
  const loadBefore = loadAverage();
  const redisServer = await findBenchServer();
  const simulatorArgs = ['loadtest/simulator/main.ts', '--port', '0'];
  const simulator = await children.start({ name: 'simulator', args: simulatorArgs, ready: /(http:\/\/\S+)/ });
  const generatorArgs = ['loadtest/bench/generator/main.ts'];
  const generator = await children.start({
    name: 'generator',
    args: generatorArgs,
    ready: /generator ready/,
    ipc: true,
  });
  const parts = {
    children,
    redisServer,
    folder,
    simulatorUrl: simulator.said,
    profileFolder: options.profile,
  };
  const targets = await startTargets(parts, options.targets, options.against);
  const timing = { warmupMs: options.warmup * 1_000, measureMs: options.seconds * 1_000 };
  const measuring = { generator: generator.child, simulator: simulator.child, ...timing };
  const visits = await runRounds(measuring, simulator.said, targets, options, (line) => console.error(line));
  const { json: _json, out: _out, profile: _profile, against: _against, ...shownOptions } = options;
  return {
    environment: await readEnvironment(
      await serverVersion(redisServer),
      loadBefore,
      visits[0]?.answerBytes ?? 0,
    ),
    options: shownOptions,
    cells: summarise(visits),
    spread: spreadOf(visits),
  };
}

async function publish(report: Report, options: BenchOptions): Promise<void> {
  const markdown = renderReport(report);
  console.log(markdown);
  const folder = options.out ?? resultsFolder;
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'bench.md'), markdown);
  await writeFile(join(folder, 'bench.json'), `${JSON.stringify(report, null, 1)}\n`);
  if (options.json) console.log(JSON.stringify(report));
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  const children = new Children();
  const folder = await mkdtemp(join(tmpdir(), 'sluice-bench-'));
  const clean = async () => {
    await children.endAll();
    await rm(folder, { recursive: true, force: true });
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void clean().finally(() => process.exit(interruptedCode)));
  }
  process.once('exit', () => children.killAll());
  try {
    await publish(await runBench(options, children, folder), options);
  } finally {
    await clean();
  }
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
