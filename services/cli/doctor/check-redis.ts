import { join } from 'node:path';
import type { Settings } from '#config/schema.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import { describeError } from '#shared/kernel/errors.ts';
import { folderOwner, socketPathFor } from '#shared/redis/embedded-server.ts';
import { findInstalledServer } from '#shared/redis/find-server.ts';
import { inspectServer, type ServerFacts } from '#shared/redis/inspect-server.ts';
import { type Check, fail, ok, warn } from './check.ts';

/** Longest wait for a Redis that should be there. */
const patienceMs = 3_000;
const slowMs = 5;
/** Leases and windows use Redis' clock alone; deadlines and start times that people give use ours. */
const clockWarnMs = 500;
const clockFailMs = 30_000;

export async function checkRedis(settings: Settings, executablePath: string, clock: Clock): Promise<Check[]> {
  const { url, data_dir } = settings.redis;
  const folder = join(data_dir, 'redis');
  if (!url && !(await folderOwner(folder))?.runs) return [await checkInstalled(executablePath, data_dir)];
  const where = url ? 'your Redis' : 'the embedded Redis';
  try {
    const facts = await inspectServer(url ?? socketPathFor(folder), settings.redis, clock, patienceMs);
    return judge(facts, where, settings.redis.memory_max_percent);
  } catch (error) {
    const hint = url ? 'Start it, or correct REDIS_URL.' : 'Start Sluice again.';
    const { cause } = error as { cause?: unknown };
    return [fail('redis', `${where} does not answer: ${describeError(cause ?? error)}`, hint)];
  }
}

/** Nothing runs here: is there a Redis that a start could run? */
async function checkInstalled(path: string, dataDir: string): Promise<Check> {
  const server = await findInstalledServer({ path, cacheDir: join(dataDir, 'cache') });
  if (server) return ok('redis', `not running; a start runs ${server}`);
  return warn(
    'redis',
    'not running, and none is installed',
    '`npm start` fetches one; or name yours with REDIS_URL.',
  );
}

function judge(facts: ServerFacts, where: string, memoryMaxPercent: number): Check[] {
  const { version, unfit, appendOnly, memoryUsedPercent, latencyMs, clockOffsetMs } = facts;
  const offset = `${clockOffsetMs >= 0 ? '+' : ''}${Math.round(clockOffsetMs)} ms against this machine`;
  const clockHint = 'Set both clocks by NTP; deadlines and start times are off by as much.';
  return [
    unfit
      ? fail('redis', unfit, 'Change its configuration, or use the embedded one.')
      : ok('redis', `${where}, ${version}, evicts nothing, runs functions`),
    appendOnly
      ? ok('redis persistence', 'append-only file')
      : warn(
          'redis persistence',
          'no append-only file',
          'Set appendonly yes: a crash would lose accepted jobs.',
        ),
    memoryUsedPercent < memoryMaxPercent
      ? ok('redis memory', memoryUsedPercent === 0 ? 'no limit' : `${Math.round(memoryUsedPercent)} % used`)
      : fail(
          'redis memory',
          `${Math.round(memoryUsedPercent)} % used: new calls are refused from ${memoryMaxPercent} % on`,
          'Raise maxmemory, or let the queues drain.',
        ),
    latencyMs <= slowMs
      ? ok('redis latency', `${latencyMs.toFixed(1)} ms`)
      : warn(
          'redis latency',
          `${latencyMs.toFixed(1)} ms`,
          'A call takes several round trips: bring Redis nearer.',
        ),
    Math.abs(clockOffsetMs) < clockWarnMs
      ? ok('redis clock', offset)
      : (Math.abs(clockOffsetMs) < clockFailMs ? warn : fail)('redis clock', offset, clockHint),
  ];
}
