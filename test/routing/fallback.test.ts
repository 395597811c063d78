import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fallbackPreset } from '#config/schema.ts';
import { post } from '../harness/fault-system.ts';
import { chat } from '../harness/sluice.ts';
import { modelA, modelB, RoutedSystem } from './routed-system.ts';

let system: RoutedSystem;
const never = { breaker: { failures_max: 100_000, billing_probe_ms: 100, open_ms: 50, open_max_ms: 50 } };
const targets = [{ model: `openai/${modelA}`, weight: 1 }];
const fallbacks = [{ model: `second/${modelB}`, weight: 1 }];
/** What one test does to A is not to send the calls of the others to B. */
const on = fallbackPreset.filter((condition) => condition !== 'breaker_open');

beforeAll(async () => {
  system = await RoutedSystem.start({
    jobs: { attempts_max: 4 },
    providers: {
      openai: { timeouts: { headers_ms: 3_000, body_ms: 3_000 }, pools: { chat: never } },
    },
    routes: {
      ab: { targets, fallbacks, retries: 1, on },
      hasty: { targets, fallbacks, retries: 3, on: ['quota', 503] },
      loyal: { targets, fallbacks, retries: 0, on: ['timeout'] },
      brief: { targets, fallbacks, retries: 50, timeout_ms: 1_500, on },
      chosen: { targets: [{ model: `openai/${modelA}`, weight: 1, retries: 0 }], fallbacks, retries: 3, on },
    },
  });
});
afterAll(() => system?.stop());

type Fault = Record<string, unknown>;
const failures: [string, Fault, string][] = [
  ['answers 500', { status: 500 }, 'server'],
  ['is out of capacity', { kind: 'capacity' }, 'capacity'],
  ['never answers', { hang: true }, 'timeout'],
  ['stops in the middle of an answer', { hangAfterBytes: 20 }, 'timeout'],
  ['closes the connection in the middle of an answer', { halfClose: true }, 'broken'],
  ['resets the connection', { dropBeforeResponse: true }, 'broken'],
  ['answers 200 with half a JSON text', { garbage: true }, 'invalid'],
  ['answers 200 with an HTML page', { html: true, status: 200 }, 'invalid'],
];

describe.concurrent('when A', () => {
  test.each(failures)(
    '%s, its retries are used up and the caller gets the answer of B',
    async (name, fault, result) => {
      system.misbehave(modelA, `when ${name}.`, fault);
      const answer = await system.call('ab', `when ${name}.`);
      expect(answer).toMatchObject({ status: 200, provider: 'second', model: modelB, attempts: 3 });
      expect(await system.story(answer.job)).toEqual([
        `openai ${result}`,
        `openai ${result}`,
        'second succeeded',
      ]);
      const { attempts } = await system.job(answer.job);
      expect(attempts.at(-1)).toMatchObject({
        attempt: 3,
        pool: 'chat',
        model: modelB,
        credential: 'spare',
        status: 200,
      });
      expect(system.arrivals(answer.job).map(({ model }) => model)).toEqual([modelA, modelA, modelB]);
    },
  );

  test.each([
    ['billing', { kind: 'billing' }],
    ['oversize', { kind: 'oversize' }],
    ['rejected', { status: 401 }],
  ])('refuses for good (%s) it is asked once, and B answers', async (result, fault) => {
    system.misbehave(modelA, `refused as ${result}.`, fault);
    const answer = await system.call('ab', `refused as ${result}.`);
    expect(answer).toMatchObject({ status: 200, provider: 'second', attempts: 2 });
    expect(await system.story(answer.job)).toEqual([`openai ${result}`, 'second succeeded']);
  });

  test('says that the call is wrong, nobody else is asked', async () => {
    system.misbehave(modelA, 'a wrong call', { status: 400 });
    const answer = await system.call('ab', 'a wrong call');
    expect(answer).toMatchObject({ status: 400, provider: 'openai', attempts: 1 });
    expect(system.arrivals(answer.job)).toHaveLength(1);
  });

  test('refuses for quota the call waits for A, unless its route says otherwise', async () => {
    system.misbehave(modelA, 'over quota', { kind: 'quota', retryAfterMs: 30 }, 2);
    const patient = await system.call('ab', 'over quota, patient');
    expect(await system.story(patient.job)).toEqual(['openai quota', 'openai quota', 'openai succeeded']);
    system.misbehave(modelA, 'over quota', { kind: 'quota', retryAfterMs: 30 }, 1);
    const hasty = await system.call('hasty', 'over quota, hasty');
    expect(await system.story(hasty.job)).toEqual(['openai quota', 'second succeeded']);
  });

  test('answers a status that the route names, no retry is made', async () => {
    system.misbehave(modelA, 'named status', { status: 503 });
    const answer = await system.call('hasty', 'named status');
    expect(await system.story(answer.job)).toEqual(['openai capacity', 'second succeeded']);
  });

  test('fails of what the route does not name, its failure is the answer', async () => {
    system.misbehave(modelA, 'not named', { status: 500 });
    const answer = await system.call('loyal', 'not named');
    expect(answer).toMatchObject({ status: 500, provider: 'openai', attempts: 1 });
  });

  test('and B fail, the last failure is the answer', async () => {
    for (const model of [modelA, modelB]) system.misbehave(model, 'both fail', { status: 500 });
    const answer = await system.call('chosen', 'both fail');
    expect(answer).toMatchObject({ status: 500, provider: 'second', attempts: 5 });
    expect(await system.story(answer.job)).toEqual(['openai server', ...Array(4).fill('second server')]);
  });

  test('fails, a call that may be sent once is not sent to B', async () => {
    system.misbehave(modelA, 'only once', { status: 500 });
    const answer = await system.call('ab', 'only once', {}, { 'x-sluice-delivery': 'at_most_once' });
    expect(answer.status).toBe(500);
    expect(system.arrivals(answer.job)).toHaveLength(1);
  });

  test('fails until the time of the call is over, no attempt begins after it', async () => {
    for (const model of [modelA, modelB]) system.misbehave(model, 'for ever', { status: 500, delayMs: 100 });
    const answer = await system.call('brief', 'for ever');
    // 1.5 s leave no room for fifty retries of 0.1 s each with pauses between them.
    expect(answer.status).toBeGreaterThanOrEqual(500);
    expect(answer.attempts).toBeLessThan(20);
  });

  test('hangs, the time of the call ends the attempt', async () => {
    system.misbehave(modelA, 'hanging long', { hang: true });
    const answer = await system.call('brief', 'hanging long');
    expect(answer).toMatchObject({ status: 504, attempts: 1 });
  });
});

test('a caller names its own fallbacks, and no provider hears of them', async () => {
  system.misbehave(modelA, 'own fallbacks', { status: 401 });
  const answer = await system.call(modelA, 'own fallbacks', {
    fallbacks: ['nobody/nothing', `second/${modelB}`],
  });
  expect(answer).toMatchObject({ status: 200, provider: 'second', model: modelB });
  for (const { model } of system.arrivals(answer.job)) expect([modelA, modelB]).toContain(model);
  const wrong = await system.call(modelA, 'own fallbacks', { fallbacks: 'nothing' });
  expect(wrong).toMatchObject({ status: 400, body: { error: { code: 'invalid_request' } } });
  const nowhere = await system.call('nobody/nothing', 'own fallbacks', { fallbacks: ['no/thing'] });
  expect(nowhere).toMatchObject({ status: 404, body: { error: { code: 'model_not_found' } } });
});

test('a stream that has not begun is streamed by B, and says so', async () => {
  system.misbehave(modelA, 'stream it', { status: 500 });
  const body = { ...chat('stream it'), model: 'ab', stream: true };
  const response = await post(system.ingress, '/v1/chat/completions', body);
  const text = await response.text();
  expect(response.headers.get('content-type')).toContain('text/event-stream');
  expect(text).toContain('[DONE]');
  const id = response.headers.get('x-sluice-job-id')!;
  expect(await system.story(id)).toEqual(['openai server', 'openai server', 'second succeeded']);
});

test('a provider of another dialect answers in the words of the caller', async () => {
  system.misbehave(modelA, 'translate it', { status: 401 });
  const answer = await system.call(modelA, 'translate it', { fallbacks: ['anthropic/claude-sonnet-5'] });
  expect(answer).toMatchObject({ status: 200, provider: 'anthropic', model: 'claude-sonnet-5', attempts: 2 });
  expect(typeof answer.body.choices?.[0]?.message.content).toBe('string');
});

test('an Idempotency-Key names the same call, whichever target it went to', async () => {
  const send = () => system.call('ab', 'the same call', {}, { 'idempotency-key': 'fallback-1' });
  const [first, second] = [await send(), await send()];
  expect(second.job).toBe(first.job);
});

test('nothing is held of any call, and each was settled once', async () => {
  expect(await system.faults.depth()).toBe(0);
  const settled = (await system.faults.ledger())
    .filter(({ kind }) => kind === 'settled')
    .map(({ job }) => job);
  expect(new Set(settled).size).toBe(settled.length);
});
