import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { keys } from '#shared/redis/keys.ts';
import { summarize } from '../../loadtest/simulator/arrivals/summary.ts';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { deltaText, eventsOf, firstEvents, readSse, type SseReader, withoutIds } from '../harness/sse.ts';
import { testKey } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';
import { arrivalsAt, callsOf, jobOf, untilCalled, untilStatus } from './support.ts';

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice({
    settings: {
      streams: { waiting_ms: 1_000 },
      jobs: { attempts_max: 2 },
      providers: { openai: { timeouts: { body_ms: 2_000 } } },
    },
  });
});
afterAll(() => sluice.stop());
beforeEach(() => sluice.simulator.log.clear());

type Fault = Record<string, unknown>;
const streamed = (text: string, fault?: Fault) => ({ ...chat(text, fault), stream: true });
const slowly = { perTokenMs: 40, outputTokens: 40 };

async function call(body: unknown, headers: Record<string, string> = {}): Promise<SseReader> {
  return readSse(await sluice.post('/v1/chat/completions', body, headers));
}
const jobIdOf = ({ response }: SseReader) => response.headers.get('x-sluice-job-id')!;
const resultOf = async (jobId: string) => (await sluice.get(`/v1/jobs/${jobId}/result`)).text();
const isDelta = (text: string) => (text.match(/"content":"\w/g) ?? []).length;

async function ledgerOf(
  jobId: string,
): Promise<{ kind: string; inputTokens: number; outputTokens: number }[]> {
  const store = sluice.redis.connect();
  try {
    const rows = await store.xrange(keys.ledger('acme'), '-', '+');
    const fields = rows.map(([, row]) =>
      Object.fromEntries(row.flatMap((name, at) => (at % 2 ? [] : [[name, row[at + 1]!]]))),
    );
    return fields
      .filter(({ job }) => job === jobId)
      .map(({ kind, inputTokens, outputTokens }) => ({
        kind: kind!,
        inputTokens: Number(inputTokens),
        outputTokens: Number(outputTokens),
      }));
  } finally {
    store.disconnect();
  }
}

describe('a streamed call', () => {
  test('is relayed as it comes: the first chunk is read long before the last is made, each event has an id', async () => {
    const reader = await call(streamed('relay', slowly));
    expect(reader.response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    await reader.readUntil((text) => isDelta(text) >= 2);
    expect(summarize(sluice.simulator.log).inFlight).toBe(1);
    const text = await reader.rest();
    const events = eventsOf(text);
    expect(isDelta(text)).toBe(slowly.outputTokens);
    expect(events.at(-1)!.data).toBe('[DONE]');
    const bytes = events.map(({ id }) => Number(/^1-(\d+)$/.exec(id ?? '')?.[1]));
    expect(bytes).toEqual(bytes.toSorted((left, right) => left - right));
    expect(new Set(bytes).size).toBe(events.length);
    expect(bytes.at(-1)).toBe(Buffer.byteLength(withoutIds(text)));
  });

  test('reads the same, byte for byte, through every door', async () => {
    const reader = await call(streamed('doors', slowly));
    const jobId = jobIdOf(reader);
    const events = readSse(await sluice.get(`/v1/jobs/${jobId}/events`));
    const [awaited, live] = [withoutIds(await reader.rest()), eventsOf(await events.rest())];
    const polled = await sluice.get(`/v1/jobs/${jobId}/result`);
    const replayed = eventsOf(await (await sluice.get(`/v1/jobs/${jobId}/events`)).text());
    expect(polled.headers.get('content-type')).toMatch(/^text\/event-stream/);
    expect(await polled.text()).toBe(awaited);
    expect(deltaText(live)).toBe(awaited);
    expect(deltaText(replayed)).toBe(awaited);
    for (const seen of [live, replayed]) {
      expect(seen.slice(0, 2)).toMatchObject([
        { event: 'queued', id: '0-0' },
        { event: 'dispatched', id: '1-0' },
      ]);
      expect(seen.at(-1)).toMatchObject({ event: 'completed', id: `1-${Buffer.byteLength(awaited) + 1}` });
    }
  });

  test('whose usage nobody asked for is settled from the provider’s own count all the same', async () => {
    const reader = await call(streamed('usage', { outputTokens: 33 }));
    const text = await reader.rest();
    expect(text).not.toContain('usage');
    const [arrival] = callsOf(sluice, jobIdOf(reader));
    expect(await ledgerOf(jobIdOf(reader))).toEqual([
      { kind: 'settled', inputTokens: arrival!.inputTokens, outputTokens: 33 },
    ]);
  });

  test('that the provider does not count is settled by what was seen', async () => {
    const reader = await call(streamed('uncounted', { outputTokens: 30, omitUsage: true }));
    await reader.rest();
    const [row] = await ledgerOf(jobIdOf(reader));
    expect(row!.inputTokens).toBeGreaterThan(0);
    expect(row!.outputTokens).toBeGreaterThanOrEqual(20);
    expect(row!.outputTokens).toBeLessThanOrEqual(45);
  });

  test('joins the job of the same Idempotency-Key: both read one stream, the provider is called once', async () => {
    const headers = { 'idempotency-key': 'one stream' };
    const body = streamed('twins', slowly);
    const first = await call(body, headers);
    await first.readUntil((text) => isDelta(text) >= 5);
    const second = await call(body, headers);
    const texts = [await first.rest(), await second.rest(), await (await call(body, headers)).rest()];
    expect(new Set(texts.map(withoutIds)).size).toBe(1);
    expect(arrivalsAt(sluice.simulator)).toHaveLength(1);
  });

  test('leaves no event log behind: its record holds the answer', async () => {
    const reader = await call(streamed('log', slowly));
    const store = sluice.redis.connect();
    const log = keys.events('acme', jobIdOf(reader));
    await reader.readUntil((text) => isDelta(text) >= 3);
    expect(await store.xlen(log)).toBeGreaterThan(0);
    expect(await store.pttl(log)).toBeGreaterThan(0);
    await reader.rest();
    await until('the log is dropped', async () => (await store.exists(log)) === 0);
    store.disconnect();
  });
});

describe('before the first chunk', () => {
  test('an error of the provider is an HTTP error, with its own status and words', async () => {
    const response = await sluice.post('/v1/chat/completions', streamed('refused', { status: 400 }));
    expect([response.status, response.headers.get('content-type')]).toEqual([400, 'application/json']);
    expect(await response.json()).toMatchObject({ error: { message: expect.stringContaining('400') } });
  });

  test.each([
    ['a dropped connection', { dropBeforeResponse: true as const }],
    [
      'an error event',
      {
        body: 'data: {"error":{"message":"busy","type":"server_error"}}\n\n',
        headers: { 'content-type': 'text/event-stream' },
      },
    ],
    [
      'a stream that is none',
      { body: '<html>\n\n</html>\n\n', headers: { 'content-type': 'text/event-stream' } },
    ],
    ['half an event', { body: 'data: {"id": "chatcmp', headers: { 'content-type': 'text/event-stream' } }],
    ['an empty stream', { body: '', headers: { 'content-type': 'text/event-stream' } }],
  ])('%s is tried again, and the caller sees nothing of it', async (_name, fault) => {
    sluice.simulator.faults.add({ match: { promptContains: 'again' }, times: 1, fault });
    const reader = await call(streamed('again'));
    expect(eventsOf(await reader.rest()).at(-1)!.data).toBe('[DONE]');
    expect(callsOf(sluice, jobIdOf(reader))).toHaveLength(2);
  });

  test('a caller that waits is told why, and then gets errors inside the stream', async () => {
    const reader = await call(streamed('waits', { delayMs: 2_500, status: 400 }));
    const text = await reader.rest();
    expect(reader.response.status).toBe(200);
    const [first] = text.split('\n\n');
    expect(first).toMatch(/^: waiting \{/);
    expect(Object.keys(JSON.parse(first!.slice(': waiting '.length)) as object)).toEqual([
      'status',
      'wait_reason',
      'position',
      'estimated_start',
    ]);
    expect(JSON.parse(eventsOf(text).at(-1)!.data)).toMatchObject({ error: { message: expect.any(String) } });
  });

  test('Prefer: wait=N hands over after N seconds without a byte, and the stream is read by its job', async () => {
    const quiet = await startSluice({
      redis: sluice.redis,
      simulator: sluice.simulator,
      withoutWorker: true,
    });
    try {
      const body = streamed('handed over', { delayMs: 1_500 });
      const response = await quiet.post('/v1/chat/completions', body, { prefer: 'wait=1' });
      expect(response.status).toBe(202);
      const { id } = (await response.json()) as { id: string };
      const events = eventsOf(await (await quiet.get(`/v1/jobs/${id}/events`)).text());
      expect(events.at(-1)!.event).toBe('completed');
      expect(deltaText(events)).toBe(await resultOf(id));
    } finally {
      await quiet.stop();
    }
  });
});

describe('a stream that breaks off after it has begun', () => {
  test.each([
    ['cut by the provider', { halfClose: 5 }],
    ['that stalls', { hangAfterBytes: 2_000 }],
    ['with garbage in it', { garbageAfter: 5 }],
  ])(
    '%s ends with an error event, is not asked for again, and what was made is charged',
    async (_name, fault) => {
      const reader = await call(streamed('breaks', { ...slowly, ...fault, perTokenMs: 1 }));
      const text = await reader.rest();
      const last = JSON.parse(eventsOf(text).at(-1)!.data) as { error: { code: string } };
      expect(last.error.code).toBe('provider_stream_cut');
      const jobId = jobIdOf(reader);
      expect(await resultOf(jobId)).toBe(withoutIds(text));
      expect(await jobOf(sluice, jobId)).toMatchObject({
        status: 'failed',
        error: { code: 'provider_stream_cut' },
      });
      expect(callsOf(sluice, jobId)).toHaveLength(1);
      const [row] = await ledgerOf(jobId);
      expect(row!.inputTokens).toBeGreaterThan(0);
      expect(row!.outputTokens).toBeGreaterThanOrEqual(isDelta(text) - 1);
    },
  );

  test('by an error event of the provider: the event reaches the caller as it is', async () => {
    const reader = await call(streamed('overloaded', { streamErrorAfter: 4, perTokenMs: 1 }));
    const text = await reader.rest();
    expect(JSON.parse(eventsOf(text).at(-1)!.data)).toMatchObject({ error: { message: 'Overloaded' } });
    expect(await jobOf(sluice, jobIdOf(reader))).toMatchObject({
      status: 'failed',
      error: { code: 'provider_error' },
    });
  });

  test('by a reset after its end mark is whole', async () => {
    const reader = await call(streamed('reset', { resetAfterLast: true, perTokenMs: 1 }));
    expect(eventsOf(await reader.rest()).at(-1)!.data).toBe('[DONE]');
    expect((await jobOf(sluice, jobIdOf(reader))).status).toBe('succeeded');
  });
});

describe('a caller that hangs up in the middle', () => {
  async function hangUp(headers: Record<string, string> = {}): Promise<string> {
    const reader = await call(streamed(`hangs up ${JSON.stringify(headers)}`, slowly), headers);
    await reader.readUntil((text) => isDelta(text) >= 5);
    await reader.cut();
    return jobIdOf(reader);
  }

  test('cancels its job: the request is aborted, and the tokens made so far are charged', async () => {
    const jobId = await hangUp();
    await untilStatus(sluice, jobId, 'cancelled');
    await until('aborted at the provider', () => callsOf(sluice, jobId)[0]!.aborted);
    const [row] = await ledgerOf(jobId);
    expect(row!.outputTokens).toBeGreaterThanOrEqual(5);
    expect(row!.outputTokens).toBeLessThan(slowly.outputTokens);
    expect(eventsOf(await resultOf(jobId)).at(-1)!.data).toContain('"code":"cancelled"');
  });

  test('with x-sluice-on-disconnect: continue leaves it running, and reads the rest from where it was', async () => {
    const jobId = await hangUp({ 'x-sluice-on-disconnect': 'continue' });
    expect((await untilStatus(sluice, jobId, 'succeeded')).usage!.output_tokens).toBe(slowly.outputTokens);
    expect(isDelta(await resultOf(jobId))).toBe(slowly.outputTokens);
  });

  test('does not end a stream that somebody else reads', async () => {
    const first = await call(streamed('watched', slowly));
    const jobId = jobIdOf(first);
    const watcher = readSse(await sluice.get(`/v1/jobs/${jobId}/events`));
    await watcher.readUntil((text) => text.includes('event: delta'));
    await first.cut();
    expect(eventsOf(await watcher.rest()).at(-1)!.event).toBe('completed');
  });
});

describe('resuming', () => {
  test('after every cut from the last id: no gap and no duplicate', async () => {
    const headers = { 'idempotency-key': 'cut often' };
    const body = streamed('cut often', { perTokenMs: 5, outputTokens: 60 });
    const enough = (received: string) => isDelta(received) >= 7;
    let [text, cuts, jobId] = ['', 0, ''];
    for (let last: string | undefined; !text.includes('[DONE]'); cuts++) {
      const reader = await call(body, { ...headers, ...(last ? { 'last-event-id': last } : {}) });
      jobId ||= jobIdOf(reader);
      const seen = firstEvents(await reader.readUntil(enough), enough);
      await reader.cut();
      text += withoutIds(seen);
      last = eventsOf(seen).at(-1)?.id ?? last;
    }
    expect(cuts).toBe(Math.ceil(60 / 7));
    // Its last event goes out before its end is written.
    await untilStatus(sluice, jobId, 'succeeded');
    expect(text).toBe(await resultOf(jobId));
    expect(arrivalsAt(sluice.simulator)).toHaveLength(1);
  });

  test('a finished stream from any of its ids gives exactly the rest', async () => {
    const reader = await call(streamed('any id'));
    const text = await reader.rest();
    const jobId = jobIdOf(reader);
    const whole = withoutIds(text);
    for (const { id } of eventsOf(text)) {
      const response = await sluice.get(`/v1/jobs/${jobId}/events`, { 'last-event-id': id! });
      const rest = deltaText(eventsOf(await response.text()));
      expect(rest).toBe(whole.slice(Number(id!.split('-')[1])));
    }
  });

  test('with an id that is none: 400; with one after the end: 204, which tells an EventSource to stop', async () => {
    const reader = await call(streamed('bad id'));
    await reader.rest();
    const path = `/v1/jobs/${jobIdOf(reader)}/events`;
    for (const id of ['x', '1', '-1-2', '1-2-3', '1-99999999999999'])
      expect((await sluice.get(path, { 'last-event-id': id })).status).toBe(400);
    const after = await sluice.get(path, { 'last-event-id': '2-1' });
    expect([after.status, await after.text()]).toEqual([204, '']);
  });
});

test('the events of a call that is not streamed are read from its record: state, one delta, the end', async () => {
  const response = await sluice.post('/v1/chat/completions', chat('plain'));
  const jobId = response.headers.get('x-sluice-job-id')!;
  const body = await response.text();
  const events = eventsOf(await (await sluice.get(`/v1/jobs/${jobId}/events`)).text());
  expect(events.map(({ event, id }) => [event, id])).toEqual([
    ['queued', '0-0'],
    ['dispatched', '1-0'],
    ['delta', `2-${Buffer.byteLength(body)}`],
    ['completed', `2-${Buffer.byteLength(body) + 1}`],
  ]);
  expect(deltaText(events)).toBe(body);
  const store = sluice.redis.connect();
  expect(await store.exists(keys.events('acme', jobId))).toBe(0);
  store.disconnect();
});

test('the events of a job that waits are read live, up to its cancellation', async () => {
  const submitted = await sluice.post('/v1/jobs', {
    endpoint: '/v1/chat/completions',
    body: streamed('waiting', { hang: true }),
  });
  const { id } = (await submitted.json()) as { id: string };
  const reader = readSse(await sluice.get(`/v1/jobs/${id}/events`));
  await untilCalled(sluice, id);
  await reader.readUntil((text) => text.includes('dispatched'));
  await sluice.post(`/v1/jobs/${id}/cancel`, '');
  expect(eventsOf(await reader.rest()).map(({ event }) => event)).toEqual([
    'queued',
    'dispatched',
    'delta',
    'cancelled',
  ]);
});

test('a reader that takes nothing is cut, and the job goes on to its end', async () => {
  const slow = await startSluice({
    redis: sluice.redis,
    simulator: sluice.simulator,
    settings: { streams: { stall_ms: 300 } },
  });
  try {
    const hangUp = new AbortController();
    const response = await fetch(`${slow.url}/v1/chat/completions`, {
      method: 'POST',
      signal: hangUp.signal,
      headers: { authorization: `Bearer ${testKey}`, 'content-type': 'application/json' },
      body: JSON.stringify(streamed('never read', { outputTokens: 40_000, perTokenMs: 0.02 })),
    });
    const jobId = response.headers.get('x-sluice-job-id')!;
    expect((await untilStatus(sluice, jobId, 'succeeded')).usage!.output_tokens).toBe(40_000);
    await until('the reader is cut', async () => (await slow.metrics.openCalls.get()).values[0]?.value === 0);
    await expect(response.text()).rejects.toThrow();
    expect(isDelta(await resultOf(jobId))).toBe(40_000);
    hangUp.abort();
  } finally {
    await slow.stop();
  }
});
