import { inspect } from 'node:util';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { SluiceError } from '#shared/kernel/errors.ts';
import { defineScript, runScript } from '#shared/redis/script.ts';
import { RedisProcess } from '../../harness/redis-process.ts';

let server: RedisProcess;
let redis: Redis;
beforeAll(async () => {
  server = await RedisProcess.start();
  redis = server.connect();
});
afterAll(() => server.stop());
beforeEach(() => redis.flushall());

const lua = (name: string) => new URL(`./lua/${name}.lua`, import.meta.url);
const echo = defineScript({
  file: lua('echo'),
  keys: ['first', 'second'],
  args: ['suppliedNowMs', 'text'],
  reply: z.tuple([z.string(), z.string(), z.string(), z.number(), z.number()]),
});
const call = (text = 'a', now: number | '' = 5) => ({
  keys: { first: 'k:{t}:1', second: 'k:{t}:2' },
  args: { suppliedNowMs: now, text },
  rest: ['x', 'y'],
});

test('names of keys and arguments are locals of the script, whatever order the call gives them in', async () => {
  const { keys, args, rest } = call();
  const turned = {
    keys: { second: keys.second, first: keys.first },
    args: { text: args.text, suppliedNowMs: args.suppliedNowMs },
    rest,
  };
  expect(await runScript(redis, echo, turned)).toEqual(['k:{t}:1', 'k:{t}:2', 'a', 2, 5]);
});

test('without a supplied time a script reads the clock of Redis', async () => {
  const [seconds] = await redis.time();
  const [, , , , nowMs] = await runScript(redis, echo, call('a', ''));
  expect(Math.abs(nowMs - Number(seconds) * 1_000)).toBeLessThan(60_000);
});

test('SCRIPT FLUSH and a restart of Redis go unnoticed', async () => {
  await runScript(redis, echo, call());
  await redis.script('FLUSH');
  expect(await runScript(redis, echo, call('b'))).toContain('b');
  await server.kill();
  await server.start();
  expect(await runScript(redis, echo, call('c'))).toContain('c');
});

test('a script is sent as text once, and by its hash from then on', async () => {
  await redis.script('FLUSH');
  const commandsOf = async () => /cmdstat_eval:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1];
  await runScript(redis, echo, call());
  const before = await commandsOf();
  await runScript(redis, echo, call());
  expect(await commandsOf()).toBe(before);
});

test('a reply of another shape is a mistake of ours, not a store that is away', async () => {
  const wrong = { ...echo, reply: z.string() as z.ZodType<unknown> };
  await expect(runScript(redis, wrong, call())).rejects.toThrow(z.ZodError);
});

test('an error inside a script keeps its reason and loses its arguments', async () => {
  const broken = defineScript({ file: lua('broken'), keys: ['first'], args: ['text'], reply: z.string() });
  const error: Error = await runScript(redis, broken, {
    keys: { first: 'k' },
    args: { text: 'canary' },
  }).catch((caught) => caught);
  expect(error).not.toBeInstanceOf(SluiceError);
  expect(error.message).toContain('broken on purpose');
  expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('canary');
});

describe('when Redis is out of memory', () => {
  test('a script that only frees or settles still runs, any other is refused as store_unavailable', async () => {
    const settling = defineScript({
      file: lua('write'),
      keys: ['first'],
      args: ['text'],
      reply: z.string(),
      allowOutOfMemory: true,
    });
    const growing = defineScript({ file: lua('write'), keys: ['first'], args: ['text'], reply: z.string() });
    const write = { keys: { first: 'k' }, args: { text: 'v' } };
    await redis.config('SET', 'maxmemory', '1');
    try {
      expect(await runScript(redis, settling, write)).toBe('OK');
      await expect(runScript(redis, growing, write)).rejects.toMatchObject({ code: 'store_unavailable' });
    } finally {
      await redis.config('SET', 'maxmemory', '0');
    }
  });
});
