import { afterEach, describe, expect, test } from 'vitest';
import type { ScopeConfig } from '../../../loadtest/simulator/limits/limits-schema.ts';
import type { Simulator } from '../../../loadtest/simulator/start-simulator.ts';
import { ManualClock } from '../../harness/manual-clock.ts';
import { chat, chatBody, control, eventually, post, start, stopSimulators } from './support.ts';

afterEach(stopSimulators);

type Limits = ScopeConfig['limits'];
const perMinute = (dimension: Limits[number]['dimension'], amount: number, more: object = {}) =>
  ({ dimension, amount, ...more }) as Limits[number];

async function limited(limits: Limits, more: Partial<ScopeConfig> = {}, clock = new ManualClock()) {
  const simulator = await start({ clock, limits: { scopes: [{ limits, ...more }] } });
  return { simulator, clock };
}

const refused = async (response: Response) => {
  expect(response.status).toBe(429);
  return (await response.json()) as { error: { message: string; type: string; code: string } };
};

/** Milliseconds of 'Please try again in 7m12s.'. */
function waitIn(message: string): number {
  const [, text = ''] = /try again in ([0-9a-z.]+)\. /.exec(message) ?? [];
  const units: Record<string, number> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 };
  const parts = [...text.matchAll(/([\d.]+)(ms|h|m|s)/g)];
  return parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * units[unit!]!, 0);
}

describe('OpenAI', () => {
  test('a refusal says how long to wait, and that wait then succeeds, but not a moment less', async () => {
    const { simulator, clock } = await limited([perMinute('requests', 3)]);
    for (let count = 0; count < 3; count++) expect((await chat(simulator)).status).toBe(200);
    const response = await chat(simulator);
    const { error } = await refused(response);
    expect(error).toMatchObject({ type: 'requests', code: 'rate_limit_exceeded', param: null });
    expect(error.message).toBe(
      'Rate limit reached for gpt-4o in organization org-simulator on requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in 20s. Visit https://platform.openai.com/account/rate-limits to learn more.',
    );
    expect(response.headers.get('retry-after')).toBe('20');
    clock.advance(waitIn(error.message) - 1);
    // This refusal takes what had come back, so that the wait starts again.
    const again = await refused(await chat(simulator));
    expect(waitIn(again.error.message)).toBe(20_000);
    clock.advance(20_000);
    expect((await chat(simulator)).status).toBe(200);
  });

  test('a refusal costs nothing where refused requests do not count', async () => {
    const { simulator, clock } = await limited([perMinute('requests', 3)], { rejectedRequestsCount: false });
    for (let count = 0; count < 3; count++) await chat(simulator);
    clock.advance(19_999);
    expect(waitIn((await refused(await chat(simulator))).error.message)).toBe(1);
    clock.advance(1);
    expect((await chat(simulator)).status).toBe(200);
  });

  test('tokens are charged with the maximum, and headers show what is left until it is full', async () => {
    const { simulator, clock } = await limited([perMinute('requests', 100), perMinute('tokens', 6000)]);
    const response = await chat(simulator, chatBody('x'.repeat(400), { max_tokens: 497 }));
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'x-ratelimit-limit-requests': '100',
      'x-ratelimit-remaining-requests': '99',
      'x-ratelimit-reset-requests': '600ms',
      'x-ratelimit-limit-tokens': '6000',
      'x-ratelimit-remaining-tokens': '5400',
      'x-ratelimit-reset-tokens': '6s',
    });
    clock.advance(6000);
    const later = await chat(simulator, chatBody('x'.repeat(400), { max_tokens: 497 }));
    expect(later.headers.get('x-ratelimit-remaining-tokens')).toBe('5400');
  });

  test('a daily limit waits in minutes', async () => {
    const { simulator } = await limited([perMinute('requests', 200, { windowMs: 86_400_000 })]);
    for (let count = 0; count < 200; count++) await chat(simulator);
    const { error } = await refused(await chat(simulator));
    expect(error.message).toContain('requests per day (RPD): Limit 200, Used 200, Requested 1.');
    expect(error.message).toContain('try again in 7m12s.');
  });

  test('a request above the whole bucket is too large, for ever, and takes no tokens', async () => {
    const { simulator } = await limited([perMinute('tokens', 1000)]);
    const large = await chat(simulator, chatBody('x', { max_tokens: 2000 }));
    const { error } = await refused(large);
    expect(error.message).toMatch(/^Request too large for gpt-4o .* Limit 1000, Requested 2004\. /);
    expect(large.headers.get('retry-after')).toBeNull();
    expect(large.headers.get('x-ratelimit-remaining-tokens')).toBe('1000');
  });

  test('a refused request takes nothing from a limit that was not reached by an admitted one', async () => {
    const { simulator, clock } = await limited([perMinute('requests', 1), perMinute('tokens', 1000)], {
      rejectedRequestsCount: false,
    });
    await chat(simulator, chatBody('x', { max_tokens: 96 }));
    const response = await chat(simulator, chatBody('x', { max_tokens: 96 }));
    expect(response.headers.get('x-ratelimit-remaining-tokens')).toBe('900');
    expect(response.status).toBe(429);
    clock.advance(60_000);
    expect((await chat(simulator)).status).toBe(200);
  });
});

describe('Anthropic', () => {
  const message = (simulator: Simulator, more: object = {}) =>
    post(simulator, '/v1/messages', {
      model: 'claude-sonnet-5',
      max_tokens: 1000,
      messages: [{ role: 'user', content: 'x' }],
      ...more,
    });
  const scope = { headerDialect: 'anthropic', tokenAccounting: 'actual' } as const;

  test('output counts as it is produced, and the maximum does not', async () => {
    const { simulator, clock } = await limited(
      [perMinute('input_tokens', 50_000), perMinute('output_tokens', 60)],
      scope,
    );
    const ask = '[[sim:{"outputTokens":70}]]';
    expect((await message(simulator, { messages: [{ role: 'user', content: ask }] })).status).toBe(200);
    const response = await message(simulator);
    expect(response.status).toBe(429);
    expect(await response.json()).toMatchObject({
      type: 'error',
      error: { type: 'rate_limit_error', message: expect.stringContaining('60 output tokens per minute') },
      request_id: response.headers.get('request-id'),
    });
    // Ten in debt and one needed, at one a second.
    expect(response.headers.get('retry-after')).toBe('11');
    clock.advance(11_000);
    expect((await message(simulator)).status).toBe(200);
  });

  test('headers name every limit, round tokens to a thousand and date the reset', async () => {
    const { simulator, clock } = await limited(
      [perMinute('requests', 60), perMinute('input_tokens', 50_000), perMinute('output_tokens', 8000)],
      scope,
    );
    const { headers } = await message(simulator, { messages: [{ role: 'user', content: 'x'.repeat(4800) }] });
    expect(Object.fromEntries(headers)).toMatchObject({
      'anthropic-ratelimit-requests-limit': '60',
      'anthropic-ratelimit-requests-remaining': '59',
      'anthropic-ratelimit-requests-reset': new Date(clock.nowMs() + 1000).toISOString(),
      'anthropic-ratelimit-input-tokens-remaining': '49000',
      'anthropic-ratelimit-output-tokens-remaining': '8000',
      'anthropic-ratelimit-tokens-limit': '58000',
      'anthropic-ratelimit-tokens-remaining': '57000',
    });
  });
});

test('Azure: a call limit is judged on slices and named with milliseconds', async () => {
  const { simulator } = await limited([perMinute('requests', 120, { shape: 'slices', sliceMs: 10_000 })], {
    headerDialect: 'azure',
  });
  for (let count = 0; count < 20; count++) expect((await chat(simulator)).status).toBe(200);
  const response = await chat(simulator);
  const { error } = await refused(response);
  expect(error.code).toBe('429');
  expect(error.message).toContain('exceeded call rate limit');
  expect(response.headers.get('retry-after-ms')).toBe('10000');
  expect(response.headers.get('x-ratelimit-limit-requests')).toBe('20');
});

test('Mistral: the minute on the wall, no retry-after, and no headers on a stream', async () => {
  const { simulator, clock } = await limited(
    [perMinute('requests', 1, { shape: 'fixed' }), perMinute('tokens', 5000, { shape: 'fixed' })],
    {
      headerDialect: 'mistral',
    },
  );
  clock.advance(59_000);
  const streamed = await chat(simulator, chatBody('x', { stream: true }));
  expect(streamed.headers.get('x-ratelimit-limit-req-minute')).toBeNull();
  const response = await chat(simulator);
  expect(await refused(response)).toMatchObject({ code: '1300' });
  expect(response.headers.get('retry-after')).toBeNull();
  expect(response.headers.get('x-ratelimit-remaining-req-minute')).toBe('0');
  expect(response.headers.get('x-ratelimit-remaining-tokens-minute')).toBe('0');
  clock.advance(1000);
  const { headers } = await chat(simulator, chatBody('x', { max_tokens: 96 }));
  expect(headers.get('x-ratelimit-remaining-tokens-minute')).toBe('4900');
  expect(headers.get('x-ratelimit-tokens-query-cost')).toBe('100');
});

test('Groq: headers show the day, refusals the minute, and oversize is 413', async () => {
  const { simulator } = await limited(
    [
      perMinute('requests', 2),
      perMinute('requests', 1000, { windowMs: 86_400_000 }),
      perMinute('tokens', 6000),
    ],
    { headerDialect: 'groq' },
  );
  const first = await chat(simulator);
  expect(first.headers.get('x-ratelimit-limit-requests')).toBe('1000');
  await chat(simulator);
  const { error } = await refused(await chat(simulator));
  expect(error.message).toContain('requests per min (RPM): Limit 2, Used 2, Requested 1.');
  const large = await chat(simulator, chatBody('x', { max_tokens: 7000 }));
  expect(large.status).toBe(413);
});

test('Bedrock: unused output is given back and burned output is charged in the end', async () => {
  const { simulator } = await limited([perMinute('tokens', 10_000)], {
    tokenAccounting: 'bedrock',
    burndown: 5,
  });
  const content = '[[sim:{"outputTokens":100}]]';
  await chat(simulator, chatBody(content, { max_tokens: 4000 }));
  const { headers } = await chat(simulator, chatBody('x', { max_tokens: 1 }));
  // 10 for the first prompt, 5 * 100 for its answer, 4 + 1 reserved for the second.
  expect(headers.get('x-ratelimit-remaining-tokens')).toBe('9485');
});

test('concurrency is held until the answer is complete or the client has gone away', async () => {
  const clock = new ManualClock();
  const { simulator } = await limited([perMinute('concurrency', 1)], {}, clock);
  simulator.latency.replace({ firstByteMs: 500, perTokenMs: 0, jitter: 0 });
  const first = chat(simulator);
  await eventually(() => clock.pendingTimers).toBe(1);
  expect((await refused(await chat(simulator))).error.message).toBe('Too many concurrent requests.');
  clock.advance(500);
  expect((await first).status).toBe(200);

  const leaving = new AbortController();
  const left = fetch(`${simulator.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: 'Bearer k' },
    body: JSON.stringify(chatBody()),
    signal: leaving.signal,
  });
  await eventually(() => clock.pendingTimers).toBe(1);
  leaving.abort();
  await expect(left).rejects.toThrow();
  await eventually(() => simulator.log.inFlight).toBe(0);
  expect(clock.pendingTimers).toBe(0);
  simulator.latency.replace({ firstByteMs: 0, perTokenMs: 0, jitter: 0 });
  expect((await chat(simulator)).status).toBe(200);
});

describe('scopes', () => {
  const one = { limits: [perMinute('requests', 1)] };
  const as = (key: string) => ({ authorization: `Bearer ${key}` });

  test('a scope binds its credentials and models only', async () => {
    const scopes = [{ ...one, credential: ['sk-a', 'sk-b'], models: ['gpt-4o', 'o3-*'] }];
    const simulator = await start({ clock: new ManualClock(), limits: { scopes } });
    expect((await chat(simulator, chatBody('x'), as('sk-a'))).status).toBe(200);
    expect((await chat(simulator, chatBody('x', { model: 'o3-mini' }), as('sk-b'))).status).toBe(429);
    expect((await chat(simulator, chatBody('x', { model: 'other' }), as('sk-b'))).status).toBe(200);
    expect((await chat(simulator, chatBody('x'), as('sk-c'))).status).toBe(200);
  });

  test('perCredential and perModel give every key and every model counters of its own', async () => {
    const scopes = [{ ...one, perCredential: true, perModel: true }];
    const simulator = await start({ clock: new ManualClock(), limits: { scopes } });
    const statuses = [];
    for (const key of ['sk-a', 'sk-b', 'sk-a']) {
      statuses.push((await chat(simulator, chatBody('x'), as(key))).status);
    }
    statuses.push((await chat(simulator, chatBody('x', { model: 'other' }), as('sk-a'))).status);
    expect(statuses).toEqual([200, 200, 429, 200]);
  });

  test('limits are replaced while it runs, and wrong ones change nothing', async () => {
    const simulator = await start({ clock: new ManualClock() });
    const set = await control(simulator, 'PUT', 'limits', { scopes: [one] });
    expect(set).toMatchObject({ status: 200, body: { scopes: [{ limits: [{ shape: 'refill' }] }] } });
    const wrong = await control<{ error: string }>(simulator, 'PUT', 'limits', {
      scopes: [{ limits: [{ dimension: 'requests', amount: -1 }] }],
    });
    expect(wrong.status).toBe(400);
    expect(wrong.body.error).toContain('scopes[0].limits[0].amount');
    expect((await chat(simulator)).status).toBe(200);
    expect((await chat(simulator)).status).toBe(429);
  });

  test('a shared key shows less than its ceiling', async () => {
    const limits = {
      scopes: [{ limits: [perMinute('requests', 600, { shape: 'rolling' })], sharedUse: 0.4 }],
    };
    const simulator = await start({ clock: new ManualClock(), limits });
    const { headers } = await chat(simulator);
    const remaining = Number(headers.get('x-ratelimit-remaining-requests'));
    expect(remaining).toBeGreaterThanOrEqual(357);
    expect(remaining).toBeLessThanOrEqual(360);
  });
});
