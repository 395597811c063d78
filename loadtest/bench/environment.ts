import { readFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { systemClock } from '#shared/kernel/clock.ts';
import { benchBody } from './bench-call.ts';
import { durabilityMode } from './redis-server.ts';

/** Under what the numbers were taken. Names no machine and no folder. */
export interface Environment {
  date: string;
  node: string;
  redis: string;
  packages: Record<string, string>;
  cores: number;
  cpu: string;
  durability: string;
  loadBefore: number;
  loadAfter: number;
  bodyBytes: number;
  answerBytes: number;
}

const shownPackages = ['bullmq', 'ioredis', 'fastify', 'undici'];

export const loadAverage = () => loadavg()[0] ?? Number.NaN;

export async function readEnvironment(
  redis: string,
  loadBefore: number,
  answerBytes: number,
): Promise<Environment> {
  const manifest = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'));
  const { dependencies } = manifest as { dependencies: Record<string, string> };
  return {
    date: new Date(systemClock.nowMs()).toISOString().slice(0, 10),
    node: process.versions.node,
    redis,
    packages: Object.fromEntries(shownPackages.map((name) => [name, dependencies[name] ?? 'unknown'])),
    cores: availableParallelism(),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    durability: durabilityMode,
    loadBefore,
    loadAfter: loadAverage(),
    bodyBytes: Buffer.byteLength(benchBody()),
    answerBytes,
  };
}
