import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { keys } from '#shared/redis/keys.ts';
import { DeafProxy } from '../harness/deaf-proxy.ts';
import { FaultSystem, get, post, submit, tenant } from '../harness/fault-system.ts';
import { chat } from '../harness/sluice.ts';
import { until } from '../harness/until.ts';

let system: FaultSystem | undefined;
let proxy: DeafProxy | undefined;
afterEach(async () => {
  await system?.stop();
  await proxy?.stop();
});

const settings = {
  payloads: { inline_max_bytes: 1_024 },
  files: { sweep_ms: 200, orphan_seconds: 1 },
  jobs: { sweep_first_ms: 2_000, takeover_grace_ms: 500 },
  workers: { lock_ms: 5_000, stalled_check_ms: 500 },
};
const words = 'many words '.repeat(400);

async function start(): Promise<{ faults: FaultSystem; deaf: DeafProxy; kept: () => Promise<string[]> }> {
  const faults = await FaultSystem.start(settings);
  system = faults;
  const deaf = await DeafProxy.start(Number(new URL(faults.redis.url).port));
  proxy = deaf;
  const folder = join(faults.dataDir, 'blobs', tenant, 'payloads');
  return { faults, deaf, kept: () => readdir(folder).catch(() => []) };
}

test('kill -9 of an ingress between the body of a call and its record: no record, no call, and the body is swept', async () => {
  const { faults, deaf, kept } = await start();
  const first = await faults.ingress(deaf.url);
  // The tenant is known from now on: the accept is the next that is asked of Redis.
  await submit(first, [chat('small', { outputTokens: 3 })]);
  deaf.deaf = true;
  const calling = post(first, '/v1/chat/completions', chat(words, { outputTokens: 3 })).catch(
    () => undefined,
  );
  const [orphan] = await until('the body is stored', async () => {
    const names = await kept();
    return names.length > 0 ? names : undefined;
  });
  await first.end('SIGKILL');
  expect(await calling).toBeUndefined();
  const jobId = orphan!.split('.')[0]!;
  expect(await faults.store.exists(keys.job(tenant, jobId))).toBe(0);
  const second = await faults.ingress();
  await until('it is swept', async () => !(await kept()).includes(orphan!), 30_000);
  await faults.worker();
  const again = await post(second, '/v1/chat/completions', chat(words, { outputTokens: 3 }));
  expect(again.status).toBe(200);
}, 90_000);

test('kill -9 of a worker between a large answer and its record: another worker answers, and one answer is left', async () => {
  const { faults, deaf, kept } = await start();
  const ingress = await faults.ingress();
  const first = await faults.worker(deaf.url);
  const [jobId] = await submit(ingress, [chat('small', { outputTokens: 600, delayMs: 500 })]);
  await until('the provider is called', () => faults.arrivalsOf(jobId!).length === 1);
  deaf.deaf = true;
  const results = async () => (await kept()).filter((name) => name.startsWith(`${jobId}.result.`));
  const [lost] = await until('the answer is stored', async () => {
    const names = await results();
    return names.length > 0 ? names : undefined;
  });
  await first.end('SIGKILL');
  expect(await faults.states([jobId!])).toEqual(['running']);
  await faults.worker();
  expect(await faults.ended([jobId!])).toEqual({ succeeded: 1 });
  expect(faults.arrivalsOf(jobId!)).toHaveLength(2);
  await until(
    'only the answer that counts is left',
    async () => {
      const names = await results();
      return names.length === 1 && names[0] !== lost;
    },
    30_000,
  );
  const response = await get(ingress, `/v1/jobs/${jobId}/result`);
  expect(response.status).toBe(200);
  expect((await response.text()).length).toBeGreaterThan(1_024);
}, 90_000);
