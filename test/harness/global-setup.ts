import { fileURLToPath } from 'node:url';
import type { TestProject } from 'vitest/node';
import { executablePath } from '#config/load.ts';
import { findServer } from '#shared/redis/find-server.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Path of the redis-server that tests start. */
    redisServer: string;
  }
}

/** Finds, or fetches once, the Redis that every test starts for itself. */
export default async function setup(project: TestProject): Promise<void> {
  const cacheDir = fileURLToPath(new URL('../../data/cache', import.meta.url));
  project.provide('redisServer', await findServer({ path: executablePath(), cacheDir, say: console.log }));
}
