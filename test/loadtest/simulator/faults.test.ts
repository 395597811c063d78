import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { afterEach, describe, expect, test } from 'vitest';
import type { Fault } from '../../../loadtest/simulator/faults/fault-schema.ts';
import { ManualClock } from '../../harness/manual-clock.ts';
import { chat, chatBody, control, eventually, post, start, stopSimulators } from './support.ts';

afterEach(stopSimulators);

const marked = (fault: Fault, more: object = {}) =>
  chatBody(`Before [[sim:${JSON.stringify(fault)}]] after`, more);
const claude = (fault: Fault, more: object = {}) => ({ ...marked(fault, more), max_tokens: 50 });

/** Reads what comes until the connection fails; the error tells that it did. */
async function readUntilCut(response: Response): Promise<string> {
  let text = '';
  const decoder = new TextDecoder();
  try {
    for await (const bytes of response.body!) text += decoder.decode(bytes, { stream: true });
  } catch {
    return text;
  }
  throw new Error('the response ended properly');
}

describe('the three ways to ask', () => {
  test('a queued fault hits the requests it matches, so many times', async () => {
    const simulator = await start();
    const match = {
      path: '/v1/chat/completions',
      model: 'gpt-4o',
      clientRequestId: 'job_1/1',
      promptContains: 'a "b"',
    };
    const asked = await control(simulator, 'POST', 'faults', { match, times: 2, fault: { status: 500 } });
    expect(asked).toEqual({ status: 200, body: { pending: 1 } });
    const id = { 'x-client-request-id': 'job_1/1' };
    const body = chatBody('say a "b" now');
    expect((await chat(simulator, chatBody('say ab'), id)).status).toBe(200);
    expect((await chat(simulator, { ...body, model: 'gpt-5' }, id)).status).toBe(200);
    expect((await chat(simulator, body, { 'x-client-request-id': 'job_2/1' })).status).toBe(200);
    const statuses = [];
    for (let count = 0; count < 3; count++) statuses.push((await chat(simulator, body, id)).status);
    expect(statuses).toEqual([500, 500, 200]);
    expect((await control(simulator, 'GET', 'faults')).body).toEqual({ pending: 0 });
  });

  test('a header asks for one request', async () => {
    const simulator = await start();
    const response = await chat(simulator, chatBody(), { 'x-sim-fault': '{"status":503}' });
    expect(response.status).toBe(503);
    expect((await chat(simulator)).status).toBe(200);
  });

  test('a marker anywhere in a prompt is heard, and a queued fault is added to it', async () => {
    const simulator = await start();
    const parts = { role: 'user', content: [{ type: 'text', text: 'x [[sim:{"outputTokens":3}]]' }] };
    await control(simulator, 'POST', 'faults', { fault: { headers: { 'x-extra': 'yes' } } });
    const response = await chat(simulator, chatBody('x', { messages: [parts] }));
    expect(response.headers.get('x-extra')).toBe('yes');
    expect(await response.json()).toMatchObject({ usage: { completion_tokens: 3 } });
  });

  test.each(['[[sim:{"nonsense":1}]]', '[[sim:{oops}]]'])(
    'a wrong marker %s is 400 and says why',
    async (text) => {
      const simulator = await start({
        limits: { scopes: [{ limits: [{ dimension: 'concurrency', amount: 1 }] }] },
      });
      const response = await chat(simulator, chatBody(text));
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({
        error: { message: expect.stringContaining('The fault asked for is wrong') },
      });
      expect((await chat(simulator)).status).toBe(200);
    },
  );

  test('faults that wait can be forgotten', async () => {
    const simulator = await start();
    await control(simulator, 'POST', 'faults', { fault: { status: 500 } });
    await control(simulator, 'DELETE', 'faults');
    expect((await chat(simulator)).status).toBe(200);
  });

  test('a refused request leaves the fault to the next', async () => {
    const clock = new ManualClock();
    const limits = { scopes: [{ limits: [{ dimension: 'requests' as const, amount: 1 }] }] };
    const simulator = await start({ clock, limits });
    await chat(simulator);
    await control(simulator, 'POST', 'faults', { fault: { status: 500 } });
    expect((await chat(simulator)).status).toBe(429);
    clock.advance(60_000);
    expect((await chat(simulator)).status).toBe(500);
  });
});

describe('statuses', () => {
  test.each([
    ['quota', 429, { type: 'tokens', code: 'rate_limit_exceeded' }],
    ['ramp', 429, { type: 'rate_limit_error', code: 'slow_down' }],
    ['capacity', 503, { type: 'service_unavailable_error', code: 'server_is_overloaded' }],
    ['billing', 429, { type: 'insufficient_quota', code: 'credit_balance_exhausted' }],
    ['oversize', 429, { code: 'rate_limit_exceeded', message: expect.stringContaining('Request too large') }],
    ['concurrency', 429, { message: 'Too many concurrent requests.' }],
  ] as const)('OpenAI %s is %i', async (kind, status, error) => {
    const response = await chat(await start(), marked({ kind }));
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error });
  });

  test.each([
    ['quota', 429, { type: 'rate_limit_error' }],
    ['ramp', 429, { type: 'rate_limit_error', message: expect.stringContaining('acceleration') }],
    ['capacity', 529, { type: 'overloaded_error', message: 'Overloaded' }],
    ['billing', 429, { details: { error_code: 'enforced_spend_limit_reached' } }],
    ['oversize', 413, { type: 'request_too_large' }],
    ['concurrency', 429, { message: expect.stringContaining('concurrent connections') }],
  ] as const)('Anthropic %s is %i', async (kind, status, error) => {
    const response = await post(await start(), '/v1/messages', claude({ kind }));
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ type: 'error', error });
  });

  test('a kind may have a status other than its own', async () => {
    const simulator = await start();
    const fault = { kind: 'capacity', status: 429 } as const;
    expect((await chat(simulator, marked(fault))).status).toBe(429);
    expect((await post(simulator, '/v1/messages', claude(fault))).status).toBe(429);
  });

  test('the SDKs raise the error that belongs to the status', async () => {
    const { url } = await start();
    const openai = new OpenAI({ apiKey: 'k', baseURL: `${url}/v1`, maxRetries: 0 });
    const body = { model: 'm', max_tokens: 1, messages: [{ role: 'user' as const, content: '' }] };
    const ask = (fault: Fault) => [{ role: 'user' as const, content: `[[sim:${JSON.stringify(fault)}]]` }];
    await expect(
      openai.chat.completions.create({ ...body, messages: ask({ status: 500 }) }),
    ).rejects.toBeInstanceOf(OpenAI.InternalServerError);
    const anthropic = new Anthropic({ apiKey: 'k', baseURL: url, maxRetries: 0 });
    await expect(
      anthropic.messages.create({ ...body, messages: ask({ status: 409 }) }),
    ).rejects.toBeInstanceOf(Anthropic.ConflictError);
  });

  test('Retry-After is sent as it is given, and milliseconds as well', async () => {
    const fault = { status: 429, retryAfter: 'next tuesday', retryAfterMs: 1500 };
    const response = await chat(await start(), marked(fault));
    expect(response.headers.get('retry-after')).toBe('next tuesday');
    expect(response.headers.get('retry-after-ms')).toBe('1500');
    expect(await response.text()).toContain('Please try again in 1.5s.');
  });
});

describe('bodies', () => {
  test('garbage is 200 and not JSON', async () => {
    const response = await chat(await start(), marked({ garbage: true }));
    expect(response.status).toBe(200);
    await expect(response.json()).rejects.toThrow(SyntaxError);
  });

  test('html is a 502 page', async () => {
    const response = await chat(await start(), marked({ html: true }));
    expect(response.status).toBe(502);
    expect(response.headers.get('content-type')).toBe('text/html');
    expect(await response.text()).toContain('<html>');
  });

  test('a body and headers of any kind are sent as they are', async () => {
    const fault = { status: 418, body: 'teapot', headers: { 'Content-Type': 'text/plain', 'x-kind': 'tea' } };
    const response = await chat(await start(), marked(fault));
    expect([response.status, await response.text()]).toEqual([418, 'teapot']);
    expect(response.headers.get('content-type')).toBe('text/plain');
    expect(response.headers.get('x-kind')).toBe('tea');
    const object = await chat(await start(), marked({ body: { own: [1] } }));
    expect(await object.json()).toEqual({ own: [1] });
  });

  test('a header given replaces the one that would have been sent', async () => {
    const limits = { scopes: [{ limits: [{ dimension: 'requests' as const, amount: 5 }] }] };
    const fault = { headers: { 'X-RateLimit-Limit-Requests': '3' } };
    const response = await chat(await start({ limits }), marked(fault));
    expect(response.headers.get('x-ratelimit-limit-requests')).toBe('3');
  });

  test.each([null, 'lots', { prompt_tokens: -1 }])('usage may be %j', async (usage) => {
    const simulator = await start();
    expect(await (await chat(simulator, marked({ usage }))).json()).toMatchObject({ usage });
    const streamed = await post(simulator, '/v1/messages', claude({ usage }, { stream: true }));
    expect(await streamed.text()).toContain(`"usage":${JSON.stringify(usage)}`);
  });

  test('usage may be missing', async () => {
    const body = await (await chat(await start(), marked({ omitUsage: true }))).json();
    expect(body).not.toHaveProperty('usage');
    expect(body).toHaveProperty('choices');
  });

  test('a stream may break off with an error event of its dialect', async () => {
    const simulator = await start();
    const fault = { streamErrorAfter: 2 };
    const anthropic = await post(simulator, '/v1/messages', claude(fault, { stream: true }));
    const text = await anthropic.text();
    expect(text.match(/content_block_delta\n/g)).toHaveLength(2);
    expect(text).toMatch(/event: error\ndata: \{"type":"error","error":\{"type":"overloaded_error"/);
    expect(text).not.toContain('message_stop');
    const openai = await (await chat(simulator, marked(fault, { stream: true }))).text();
    expect(openai).toMatch(/data: \{"error":\{"message":"Overloaded","type":"server_error"/);
    expect(openai).not.toContain('[DONE]');
  });
});

describe('connections', () => {
  test('hang never answers and ends when the client goes away', async () => {
    const simulator = await start();
    const leaving = new AbortController();
    const asked = fetch(`${simulator.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: 'Bearer k' },
      body: JSON.stringify(marked({ hang: true })),
      signal: leaving.signal,
    });
    await eventually(() => simulator.log.inFlight).toBe(1);
    leaving.abort();
    await expect(asked).rejects.toThrow();
    await eventually(() => simulator.log.inFlight).toBe(0);
    const { body } = await control<{ arrivals: object[] }>(simulator, 'GET', 'arrivals');
    expect(body.arrivals[0]).toMatchObject({ status: 0, aborted: true, fault: 'hang' });
  });

  test.each([false, true])('hangAfterBytes sends exactly so many bytes (stream: %s)', async (stream) => {
    const simulator = await start();
    const leaving = new AbortController();
    const response = await fetch(`${simulator.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: 'Bearer k' },
      body: JSON.stringify(marked({ hangAfterBytes: 600 }, { stream })),
      signal: leaving.signal,
    });
    let received = 0;
    const reader = response.body!.getReader();
    while (received < 600) received += (await reader.read()).value!.length;
    const more = reader.read().then(
      () => 'more',
      () => 'aborted',
    );
    leaving.abort();
    expect(received).toBe(600);
    expect(await more).toBe('aborted');
  });

  test('halfClose cuts a JSON body in half', async () => {
    const response = await chat(await start(), marked({ halfClose: true }));
    expect(response.status).toBe(200);
    const text = await readUntilCut(response);
    expect(text.length).toBeLessThan(Number(response.headers.get('content-length')));
  });

  test('halfClose ends a stream after so many chunks, without the end mark', async () => {
    const text = await readUntilCut(await chat(await start(), marked({ halfClose: 3 }, { stream: true })));
    expect(text.match(/"content":"\w+ "/g)).toHaveLength(3);
    expect(text).not.toContain('[DONE]');
  });

  test('resetAfterLast sends everything and then resets', async () => {
    const response = await chat(await start(), marked({ resetAfterLast: true }, { stream: true }));
    const text = await readUntilCut(response);
    expect(text).toMatch(/data: \[DONE\]\n\n$/);
  });

  test('dropBeforeResponse resets before a single byte', async () => {
    const simulator = await start();
    await expect(chat(simulator, marked({ dropBeforeResponse: true }))).rejects.toMatchObject({
      cause: { code: 'ECONNRESET' },
    });
    expect(simulator.log.inFlight).toBe(0);
  });
});

describe('latency', () => {
  test('delayMs comes before the first byte', async () => {
    const clock = new ManualClock();
    const simulator = await start({ clock });
    let answered = false;
    const asked = chat(simulator, marked({ delayMs: 1000, status: 500 })).finally(() => {
      answered = true;
    });
    await eventually(() => clock.pendingTimers).toBe(1);
    clock.advance(999);
    expect([answered, clock.pendingTimers]).toEqual([false, 1]);
    clock.advance(1);
    expect((await asked).status).toBe(500);
  });

  test('a JSON answer waits for its first byte and every token', async () => {
    const clock = new ManualClock();
    const simulator = await start({ clock, latency: { firstByteMs: 100, perTokenMs: 10 } });
    const asked = chat(simulator, chatBody('x', { max_tokens: 7 }));
    await eventually(() => clock.pendingTimers).toBe(1);
    clock.advance(169);
    expect(clock.pendingTimers).toBe(1);
    clock.advance(1);
    expect((await asked).status).toBe(200);
  });

  test('a stream sends a piece for every token as its time comes', async () => {
    const clock = new ManualClock();
    const simulator = await start({ clock });
    await control(simulator, 'PUT', 'latency', { firstByteMs: 100, perTokenMs: 10 });
    const asked = chat(simulator, chatBody('x', { max_tokens: 4, stream: true }));
    await eventually(() => clock.pendingTimers).toBe(1);
    clock.advance(100);
    const reader = (await asked).body!.getReader();
    const next = async () => new TextDecoder().decode((await reader.read()).value);
    expect(await next()).toContain('"role":"assistant"');
    for (let count = 0; count < 3; count++) {
      clock.advance(9);
      clock.advance(1);
      expect(await next()).toMatch(/^data: .*"content":"\w+ ".*\n\n$/);
    }
    clock.advance(10);
    expect(await next()).toContain('[DONE]');
  });

  test('jitter stays within its fraction', async () => {
    const simulator = await start({ latency: { firstByteMs: 100, perTokenMs: 10, jitter: 0.2 } });
    const paces = Array.from({ length: 500 }, () => simulator.latency.draw());
    const first = paces.map(({ firstByteMs }) => firstByteMs);
    expect(Math.min(...first)).toBeGreaterThanOrEqual(80);
    expect(Math.max(...first)).toBeLessThanOrEqual(120);
    expect(Math.max(...first) - Math.min(...first)).toBeGreaterThan(30);
  });
});
