import type { Redis } from 'ioredis';
import { beforeAll, beforeEach, expect, test } from 'vitest';
import { decodeAnnouncement, type OutcomeHead } from '#shared/contracts/outcome.ts';
import { keys } from '#shared/redis/keys.ts';
import { announce } from '#shared/results/announce.ts';
import { RedisProcess } from '../../harness/redis-process.ts';

let redis: Redis;
beforeAll(async () => {
  const server = await RedisProcess.start();
  redis = server.connect();
  return () => server.stop();
});
beforeEach(() => redis.flushall());

const settings = { list_max: 3, inline_max_bytes: 100 };
const body = Buffer.from('{}');

const tell = (job: string, waiters: string[]) =>
  announce(
    redis,
    settings as Parameters<typeof announce>[1],
    waiters,
    { job, state: 'succeeded' } as OutcomeHead,
    body,
  );

async function toldTo(ingress: string): Promise<string[]> {
  const messages = await redis.lrangeBuffer(keys.replies(ingress), 0, -1);
  return messages.map((message) => decodeAnnouncement(message).head.job);
}

test('endings of one tick reach each ingress that waits for them, in order, by one script for each ingress', async () => {
  const sent: string[] = [];
  const send = redis.evalsha.bind(redis) as (...args: unknown[]) => Promise<unknown>;
  redis.evalsha = ((...args: unknown[]) => {
    sent.push(String(args[2]));
    return send(...args);
  }) as typeof redis.evalsha;
  await Promise.all([tell('a', ['one']), tell('b', ['one', 'two']), tell('c', ['two'])]);
  expect(await toldTo('one')).toEqual(['a', 'b']);
  expect(await toldTo('two')).toEqual(['b', 'c']);
  expect(sent.toSorted()).toEqual([keys.replies('one'), keys.replies('two')]);
});

test('a list that nobody reads keeps the newest endings, no more than list_max, and not for ever', async () => {
  await tell('first', ['one']);
  await Promise.all(['a', 'b', 'c', 'd'].map((job) => tell(job, ['one'])));
  expect(await toldTo('one')).toEqual(['b', 'c', 'd']);
  expect(await redis.pttl(keys.replies('one'))).toBeGreaterThan(0);
});
