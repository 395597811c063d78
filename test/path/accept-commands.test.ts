import { connect } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { JobObject } from '#shared/jobs/job-object.ts';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { until } from '../harness/until.ts';

const quotas = {
  limits: [
    { requests: 1_000, window: '1h' },
    { tokens: 1_000_000, window: '1h' },
    { requests: 1_000, window: '1d', per: ['user', 'feature', 'model'] },
    { requests: 1_000, algorithm: 'token_bucket' },
    { requests: 1_000_000_000, algorithm: 'leaky_bucket' },
    { concurrency: 100 },
    { tokens: 1_000_000, window: '1d', calendar: true },
  ],
  budgets: [{ usd: 100 }],
};

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice({
    withoutWorker: true,
    settings: {
      customers: {
        free: { keys: [{ id: 'k', key: 'sk-sl-free' }] },
        limited: { ...quotas, keys: [{ id: 'k', key: 'sk-sl-limited', max_queue_depth: 100 }] },
      },
    } as object,
  });
});
afterAll(() => sluice.stop());

/** Commands as Redis tells them while it runs them, one a line. */
async function watchRedis(url: string): Promise<{ lines: () => string[]; stop: () => void }> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
  });
  socket.write('MONITOR\r\n');
  await until('Redis tells its commands', () => text.startsWith('+OK'));
  return { lines: () => text.split('\r\n').slice(1, -1), stop: () => socket.destroy() };
}

/** The keys that were asked for one call until its ticket was in the queue; what scripts do inside is not asked. */
async function askedFor(key: string): Promise<string[]> {
  const watch = await watchRedis(sluice.redis.url);
  try {
    const headers = { authorization: `Bearer ${key}`, prefer: 'respond-async' };
    const answer = await sluice.post('/v1/chat/completions', chat(), headers);
    const { id } = (await answer.json()) as JobObject;
    expect(answer.status, id).toBe(202);
    const ofJob = () => watch.lines().filter((line) => line.includes(id) && !line.includes(' lua] '));
    // Showing the job comes after it was enqueued.
    const shown = (line: string) => /\] "hmget" /i.test(line);
    await until('the job is shown', () => ofJob().some(shown));
    return ofJob()
      .slice(0, ofJob().findIndex(shown))
      .map((line) => /"sl:(\{[^}"]*\})/.exec(line)?.[1] ?? line);
  } finally {
    watch.stop();
  }
}

test('accepting a call is two round trips, one script for the tenant and one for the queue, with eight limits as with none', async () => {
  for (const tenant of ['free', 'limited']) {
    const key = `sk-sl-${tenant}`;
    // The first call of a tenant also makes it known, and loads the scripts.
    await askedFor(key);
    expect(await askedFor(key)).toEqual([`{${tenant}}`, '{openai}']);
  }
});
