import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { loadSettings } from '#config/load.ts';
import type { Settings } from '#config/schema.ts';
import { LiveValue } from '#shared/kernel/live-value.ts';
import { createMetrics } from '#shared/telemetry/metrics.ts';
import { SettingsWatcher } from '../../services/watch-settings.ts';
import { type SettingsOverrides, testConfiguration } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';

let folder: string;
let file: string;
let lines: string[];
let watcher: SettingsWatcher | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-watch-'));
  file = join(folder, 'sluice.yaml');
  lines = [];
});
afterEach(async () => {
  await watcher?.stop();
  rmSync(folder, { recursive: true });
});

const text = (over: SettingsOverrides = {}) =>
  stringify(testConfiguration('http://127.0.0.1:1', { reload: { poll_ms: 50, settle_ms: 10 }, ...over }));
const weighing = (weight: number) => text({ customers: { acme: { weight } } });

async function watch(first: string, whileStarting: () => void = () => undefined) {
  writeFileSync(file, first);
  const read = () => loadSettings({ SLUICE_CONFIG: file });
  const live = new LiveValue<Settings>(read());
  whileStarting();
  const metrics = createMetrics({ processMetrics: false });
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
  watcher = new SettingsWatcher({ live, read, log, metrics, file });
  await watcher.start();
  const value = async (name: string) => (await metrics.registry.getSingleMetric(name)!.get()).values;
  const reloads = async (result: string) => {
    const rows = await value('sluice_config_reloads_total');
    return rows.find(({ labels }) => labels.result === result)?.value ?? 0;
  };
  const refused = () => reloads('refused');
  const unchanged = () => reloads('unchanged');
  const ok = async () => (await value('sluice_config_reload_ok'))[0]!.value;
  return { live, refused, unchanged, ok, weight: () => live.current.customers.acme!.weight };
}

test('a file that was written anew is in force', async () => {
  const { weight } = await watch(weighing(1));
  writeFileSync(file, weighing(3));
  await until('the new weight', () => weight() === 3);
});

test('a file that another one was renamed to is in force, again and again', async () => {
  const { weight } = await watch(weighing(1));
  for (const next of [2, 3, 4]) {
    writeFileSync(`${file}.new`, weighing(next));
    renameSync(`${file}.new`, file);
    await until(`weight ${next}`, () => weight() === next);
  }
});

test('a folder of links that is swapped as a whole, as a ConfigMap is, is followed', async () => {
  const mount = (version: string, weight: number) => {
    mkdirSync(join(folder, version));
    writeFileSync(join(folder, version, 'sluice.yaml'), weighing(weight));
    symlinkSync(version, join(folder, '..data.new'));
    renameSync(join(folder, '..data.new'), join(folder, '..data'));
  };
  mount('first', 1);
  file = join(folder, 'linked.yaml');
  symlinkSync(join('..data', 'sluice.yaml'), file);
  const { weight } = await watch(weighing(1));
  mount('second', 5);
  rmSync(join(folder, 'first'), { recursive: true });
  await until('the new weight', () => weight() === 5);
});

test('a file that does not parse, is not valid or is away keeps what runs, says so once, and is read again when it is mended', async () => {
  const { live, weight, refused, ok } = await watch(weighing(1));
  const running = live.current;
  let refusals = 0;
  for (const broken of ['providers: [', 'providers: 7', text({ jobs: { lease_ms: 1 } })]) {
    writeFileSync(file, broken);
    refusals++;
    await until('it is refused', async () => (await refused()) === refusals);
    expect(live.current).toBe(running);
    expect(await ok()).toBe(0);
  }
  rmSync(file);
  await until('it is refused', async () => (await refused()) === refusals + 1);
  expect(live.current).toBe(running);
  expect(lines.filter((line) => line.includes('cannot be used'))).toHaveLength(refusals + 1);
  writeFileSync(file, weighing(2));
  await until('the new weight', () => weight() === 2);
  expect(await ok()).toBe(1);
});

test('what cannot change in a running process stays, and is named as needing a restart', async () => {
  const { live, weight } = await watch(weighing(1));
  writeFileSync(
    file,
    text({ http: { port: 4711 }, redis: { connect_timeout_ms: 3_000 }, customers: { acme: { weight: 2 } } }),
  );
  await until('the new weight', () => weight() === 2);
  expect(live.current.http.port).toBe(0);
  const warning = lines.find((line) => line.includes('need a restart'));
  expect(JSON.parse(warning!)).toMatchObject({ settings: ['http.port', 'redis.connect_timeout_ms'] });
});

test('SIGHUP reads the file again, whether it has changed or not', async () => {
  const { unchanged } = await watch(weighing(1));
  await until('it was read once after the start', async () => (await unchanged()) === 1);
  process.emit('SIGHUP', 'SIGHUP');
  await until('it was read again', async () => (await unchanged()) === 2);
});

test('a file that changed while the process was starting is in force', async () => {
  const { weight } = await watch(weighing(1), () => writeFileSync(file, weighing(6)));
  await until('the new weight', () => weight() === 6);
});
