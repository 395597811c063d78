import { Writable } from 'node:stream';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '#shared/kernel/clock.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import { LiveValue } from '#shared/kernel/live-value.ts';
import { systemRandom } from '#shared/kernel/random.ts';
import { createSecretBox } from '#shared/secrets/secret-box.ts';
import { createMetrics } from '#shared/telemetry/metrics.ts';
import { KeyHasher } from '#shared/tenants/key-hash.ts';
import type { Simulator } from '../../loadtest/simulator/start-simulator.ts';
import { createIngressApp } from '../../services/ingress/app.ts';
import { createWorkerApp } from '../../services/worker/app.ts';
import { dumpRedis } from '../harness/dump-redis.ts';
import { RedisProcess } from '../harness/redis-process.ts';
import { chat, newSimulator } from '../harness/sluice.ts';
import { testKey, testSecretKey, testSettings } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';

const canary = 'canary-51c9';
const keys = /sk-sl-test|sk-sl-other|sk-simulator/;
let redis: RedisProcess;
let simulator: Simulator;
let services: Service[];
let url: string;
let lines = '';
const metrics = createMetrics({ processMetrics: false });
const memory = new Writable({
  write(chunk: Buffer, _encoding, done) {
    lines += chunk.toString();
    done();
  },
});

beforeAll(async () => {
  redis = await RedisProcess.start();
  simulator = await newSimulator();
  const settings = testSettings(simulator.url, {
    jobs: { attempts_max: 2, await_max_seconds: 5 },
    // The calls that follow the faults must be sent all the same.
    providers: {
      openai: {
        pools: { chat: { breaker: { open_ms: 10, open_max_ms: 10, probe_ms: 100, billing_probe_ms: 100 } } },
      },
    },
  });
  // No redaction here: what is never logged needs none.
  const common = {
    live: new LiveValue(settings),
    redisUrl: redis.url,
    log: pino({ level: 'trace' }, memory),
    metrics,
    clock: systemClock,
    random: systemRandom,
    secrets: createSecretBox([testSecretKey]),
  };
  const ingress = createIngressApp({ ...common, keyHasher: new KeyHasher([]) });
  services = [createWorkerApp({ ...common, pools: ['*'] }), ingress];
  for (const service of services) await service.start();
  url = `http://127.0.0.1:${ingress.port}`;
});
afterAll(async () => {
  for (const service of services.toReversed()) await service.stop();
  await simulator.stop();
  await redis.stop();
});

function post(
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
  signal?: AbortSignal,
): Promise<Response> {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const all = { authorization: `Bearer ${testKey}`, 'content-type': 'application/json', ...headers };
  return fetch(`${url}${path}`, { method: 'POST', body: text, headers: all, ...(signal ? { signal } : {}) });
}

test('prompts and keys are nowhere in Redis but in the job’s own record', async () => {
  await post('/v1/chat/completions', chat(canary, { hang: true }), {
    prefer: 'respond-async',
    'idempotency-key': 'one',
  });
  await until('it is called', () => simulator.log.nextSeq > 0);
  const waiting = { ...chat(canary), model: 'gpt-5-mini' };
  await post('/v1/jobs', {
    endpoint: '/v1/chat/completions',
    body: waiting,
    run_at: Math.floor(systemClock.nowMs() / 1_000) + 600,
  });
  const connection = redis.connect();
  const holders: string[] = [];
  let seen = 0;
  for (const [key, text] of await dumpRedis(connection)) {
    seen++;
    expect(key + text, key).not.toMatch(keys);
    if (text.includes(canary)) holders.push(key.replace(/job_[0-9a-f]{32}$/, '<id>'));
  }
  connection.disconnect();
  expect(seen).toBeGreaterThan(8);
  expect(holders).toEqual(['sl:{acme}:job:<id>', 'sl:{acme}:job:<id>']);
});

test('no log line and no metric holds a prompt, an answer or a key, whatever fails', async () => {
  const faults: Record<string, unknown>[] = [
    { status: 500 },
    { status: 400, body: { error: { message: canary } } },
    { garbage: true, body: canary },
    { html: true },
    { dropBeforeResponse: true },
    { halfClose: true },
    { kind: 'billing' },
    { status: 200, body: { nothing: canary } },
    { usage: { prompt_tokens: canary } },
    { headers: { 'retry-after': canary } },
  ];
  await Promise.all(faults.map((fault) => post('/v1/chat/completions', chat(canary, fault))));
  for (const body of [
    `{"model":"${canary}`,
    `{"${canary}":`,
    { model: canary, messages: [] },
    { ...chat(canary), model: canary },
    { ...chat(), temperature: canary },
    `"${canary}"`,
  ]) {
    for (const path of ['/v1/chat/completions', '/v1/messages', '/v1/jobs']) await post(path, body);
  }
  await post('/v1/chat/completions', chat(canary), { authorization: `Bearer ${canary}` });
  await post('/v1/chat/completions', chat(canary), {
    'x-sluice-priority': canary,
    'idempotency-key': canary,
  });
  await post(`/v1/${canary}?key=${canary}`, chat(canary));
  const made = await post('/v1/webhook-endpoints', { url: 'https://example.com/hook', events: [] });
  const { id, secret } = (await made.json()) as { id: string; secret: string };
  await post(`/v1/webhook-endpoints/${id}/rotate-secret`, { overlap_seconds: secret });
  const called = simulator.log.nextSeq;
  const hangUp = new AbortController();
  const hung = post('/v1/chat/completions', chat(canary, { hang: true }), {}, hangUp.signal).catch(
    () => undefined,
  );
  await until('it is called', () => simulator.log.nextSeq > called);
  hangUp.abort();
  await hung;
  const during = post('/v1/chat/completions', chat(canary, { delayMs: 300 }));
  await until('it is called', () => simulator.log.nextSeq > called + 1);
  await redis.kill();
  const ways: Record<string, string>[] = [{}, { prefer: 'respond-async' }, { 'idempotency-key': canary }];
  for (const headers of ways)
    expect((await post('/v1/chat/completions', chat(canary), headers)).status).toBe(503);
  // Without a line nothing would be proven.
  await until('the loss is logged', () => lines.includes('redis connection'));
  await redis.start();
  await during;
  await until(
    'it works again',
    async () => (await post('/v1/chat/completions', chat(canary))).status === 200,
  );
  expect(secret).toMatch(/^whsec_/);
  for (const told of [lines, await metrics.registry.metrics()]) {
    expect(told).not.toContain(canary);
    expect(told).not.toMatch(keys);
    expect(told).not.toContain(secret.replace('whsec_', ''));
    expect(told).not.toContain(testSecretKey);
  }
});
