import type { Redis } from 'ioredis';
import { beforeAll, expect, test } from 'vitest';
import { RedisProcess } from '../../harness/redis-process.ts';
import { FairPool } from './fair-pool.ts';

let redis: Redis;
beforeAll(async () => {
  const server = await RedisProcess.start();
  redis = server.connect();
  return () => server.stop();
});

/** No two cost the same, so that no two stand equal. */
const inputs = { b: 10, c: 11, d: 13, idle: 12 };
type Tenant = keyof typeof inputs;
const busy: Tenant[] = ['b', 'c', 'd'];
const callsEach = 6;
const add = (pool: FairPool, tenant: Tenant, id: string) =>
  pool.add(id, { tenant, input: inputs[tenant], output: 5, max: 5 });

/** The tenants of the calls that are handed out next, one by one, each completed as estimated. */
async function next(pool: FairPool, count: number): Promise<Tenant[]> {
  const served: Tenant[] = [];
  while (served.length < count) {
    const { id } = (await pool.claim(1)).claimed[0]!;
    const tenant = id.split('-')[0] as Tenant;
    served.push(tenant);
    await pool.complete(id, { in: inputs[tenant], out: 5 });
  }
  return served;
}

test.each([3, 4, 5, 8])(
  'after %i calls of others, the first call of a tenant that was idle is the next to go, and its second waits its turn',
  async (before) => {
    const pool = await FairPool.open(redis);
    for (let index = 0; index < callsEach; index++)
      for (const tenant of busy) await add(pool, tenant, `${tenant}-${index}`);
    await next(pool, before);
    await add(pool, 'idle', 'idle-0');
    await add(pool, 'idle', 'idle-1');
    const [first, ...others] = await next(pool, 1 + busy.length);
    expect(first).toBe('idle');
    expect(others.slice(0, busy.length - 1)).not.toContain('idle');
    await pool.close();
  },
);
