import { Queue } from 'bullmq';
import { afterEach, expect, test } from 'vitest';
import { keys } from '#shared/redis/keys.ts';
import { FaultSystem, post, submit } from '../harness/fault-system.ts';
import { chat } from '../harness/sluice.ts';
import { until } from '../harness/until.ts';

let system: FaultSystem | undefined;
afterEach(() => system?.stop());

test('kill -9 of the ingress while a call is awaited: the retry with the same Idempotency-Key gets the one answer', async () => {
  system = await FaultSystem.start();
  const faults = system;
  const [first] = await Promise.all([faults.ingress(), faults.worker()]);
  const body = chat('precious', { delayMs: 1_500 });
  const headers = { 'idempotency-key': 'one-and-only' };
  const cut = post(first, '/v1/chat/completions', body, headers).then(
    () => 'answered',
    () => 'cut off',
  );
  await until('the call is in flight', () => faults.arrivals.inFlight === 1);
  await first.end('SIGKILL');
  expect(await cut).toBe('cut off');
  const second = await faults.ingress();
  const [response, twin] = await Promise.all([
    post(second, '/v1/chat/completions', body, headers),
    post(second, '/v1/chat/completions', body, headers),
  ]);

  expect([response.status, twin.status]).toEqual([200, 200]);
  const text = await response.text();
  expect(await twin.text()).toBe(text);
  expect(await faults.store.hget(keys.job('acme', response.headers.get('x-sluice-job-id')!), 'body')).toBe(
    text,
  );
  expect(faults.arrivals.total).toBe(1);
  expect(await faults.jobIds()).toHaveLength(1);
  expect(await faults.ledger()).toHaveLength(1);
});

test('a job that was accepted but is in no queue is found by the sweeper and ends', async () => {
  system = await FaultSystem.start();
  const faults = system;
  const ingress = await faults.ingress();
  const jobs = await submit(
    ingress,
    Array.from({ length: 50 }, (_each, index) => chat(`job ${index}`)),
  );
  const queue = new Queue('chat', {
    connection: { url: faults.redis.url },
    prefix: keys.queuePrefix('openai'),
  });
  try {
    for (const job of jobs.slice(0, 25)) expect(await queue.remove(job)).toBe(1);
    await queue.obliterate();
    expect(await queue.getJobCountByTypes('prioritized', 'waiting', 'delayed')).toBe(0);
  } finally {
    await queue.close();
  }
  await faults.worker();
  expect(await faults.ended(jobs, 20_000)).toEqual({ succeeded: jobs.length });
  expect(faults.arrivals.total).toBe(jobs.length);
});
