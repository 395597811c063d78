import { afterEach, expect, test } from 'vitest';
import { keys } from '#shared/redis/keys.ts';
import { FaultSystem, get, type IngressProcess, post } from '../harness/fault-system.ts';
import { chat } from '../harness/sluice.ts';
import { deltaText, eventsOf, firstEvents, readSse, type SseReader, withoutIds } from '../harness/sse.ts';
import { testKey } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';

let system: FaultSystem | undefined;
afterEach(() => system?.stop());

const chunksIn = (text: string) => (text.match(/"content\\*":\\*"\w/g) ?? []).length;
const streamed = (text: string, fault: Record<string, unknown> = {}) => ({
  ...chat(text, fault),
  stream: true,
});
const lastId = (text: string) => eventsOf(text.slice(0, text.lastIndexOf('\n\n') + 2)).at(-1)?.id;
const codeOf = (text: string) =>
  (JSON.parse(eventsOf(text).at(-1)!.data) as { error?: { code: string } }).error?.code;

async function open(
  ingress: IngressProcess,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<SseReader> {
  return readSse(await post(ingress, '/v1/chat/completions', body, headers));
}

async function eventsOfJob(ingress: IngressProcess, jobId: string, after?: string): Promise<Response> {
  return fetch(`http://127.0.0.1:${ingress.port}/v1/jobs/${jobId}/events`, {
    headers: { authorization: `Bearer ${testKey}`, ...(after ? { 'last-event-id': after } : {}) },
  });
}

test('kill -9 of the worker in the middle of a stream: the reader is told, and every retry reads one whole answer', async () => {
  system = await FaultSystem.start();
  const faults = system;
  // The first attempt is slow, so that it is in the middle when its worker dies; the next one is not.
  faults.simulator.faults.add({ match: {}, times: 1, fault: { perTokenMs: 30, outputTokens: 4_000 } });
  const [ingress, victim] = await Promise.all([faults.ingress(), faults.worker()]);
  const body = streamed('precious', { outputTokens: 50 });
  const headers = { 'idempotency-key': 'one answer' };
  const reader = await open(ingress, body, headers);
  const jobId = reader.response.headers.get('x-sluice-job-id')!;
  await reader.readUntil((text) => chunksIn(text) >= 10);
  const watcher = readSse(await eventsOfJob(ingress, jobId));
  await watcher.readUntil((text) => chunksIn(text) >= 10);
  await faults.worker();
  await victim.end('SIGKILL');

  const broken = await reader.rest();
  expect(codeOf(broken)).toBe('stream_restarted');
  const [again, twin] = await Promise.all([open(ingress, body, headers), open(ingress, body, headers)]);
  const text = await again.rest();
  expect(await twin.rest()).toBe(text);
  expect(chunksIn(text)).toBe(50);
  expect(eventsOf(text)[0]!.id).toMatch(/^2-/);
  const result = await (await get(ingress, `/v1/jobs/${jobId}/result`)).text();
  expect(withoutIds(text)).toBe(result);

  const watched = eventsOf(await watcher.rest());
  const anew = watched.findIndex(({ event, id }) => event === 'dispatched' && id === '2-0');
  expect(deltaText(watched.slice(anew))).toBe(result);
  expect(watched.at(-1)!.event).toBe('completed');

  const dead = lastId(broken.slice(0, broken.lastIndexOf('data: {"error"')))!;
  expect(dead).toMatch(/^1-/);
  const resumed = await post(ingress, '/v1/chat/completions', body, { ...headers, 'last-event-id': dead });
  expect([resumed.status, ((await resumed.json()) as { error: { code: string } }).error.code]).toEqual([
    409,
    'stream_restarted',
  ]);
  const resumedEvents = eventsOf(await (await eventsOfJob(ingress, jobId, dead)).text());
  expect(resumedEvents[0]).toMatchObject({ event: 'dispatched', id: '2-0' });
  expect(deltaText(resumedEvents)).toBe(result);

  expect(faults.arrivals.total).toBe(2);
  expect((await faults.ledger()).map(({ kind, job, outputTokens }) => [kind, job, outputTokens])).toEqual([
    ['wasted', jobId, expect.any(Number)],
    ['settled', jobId, 50],
  ]);
  // What the dead attempt had passed on is charged as well, by our own count of it, once.
  const [wasted] = await faults.ledger();
  expect(wasted!.outputTokens).toBeGreaterThan(5);
  expect(wasted!.outputTokens).toBeLessThan(4_000);
  expect(await faults.discrepancies()).toEqual([]);
  expect(await faults.depth()).toBe(0);
});

test('kill -9 of the worker under at_most_once: the reader is told that the outcome is unknown', async () => {
  system = await FaultSystem.start();
  const faults = system;
  const [ingress, victim] = await Promise.all([faults.ingress(), faults.worker()]);
  const body = streamed('once', { perTokenMs: 30, outputTokens: 4_000 });
  const reader = await open(ingress, body, { 'x-sluice-delivery': 'at_most_once' });
  await reader.readUntil((text) => chunksIn(text) >= 10);
  await faults.worker();
  await victim.end('SIGKILL');
  expect(codeOf(await reader.rest())).toBe('outcome_unknown');
  expect(faults.arrivals.total).toBe(1);
  expect((await faults.ledger()).map(({ kind }) => kind)).toEqual(['wasted']);
  expect(await faults.discrepancies()).toEqual([]);
});

test('kill -9 of the ingress in the middle of a stream: the rest is read on another one, without a gap or a duplicate', async () => {
  system = await FaultSystem.start();
  const faults = system;
  const [first, second] = await Promise.all([faults.ingress(), faults.ingress(), faults.worker()]);
  const body = streamed('moves', { perTokenMs: 20, outputTokens: 100 });
  const headers = { 'idempotency-key': 'moves' };
  const reader = await open(first, body, headers);
  const jobId = reader.response.headers.get('x-sluice-job-id')!;
  await reader.readUntil((text) => chunksIn(text) >= 15);
  await first.end('SIGKILL');
  await reader.rest().catch(() => undefined);
  const seen = reader.text().slice(0, reader.text().lastIndexOf('\n\n') + 2);
  const after = lastId(seen)!;
  const [rest, events] = await Promise.all([
    open(second, body, { ...headers, 'last-event-id': after }).then((again) => again.rest()),
    eventsOfJob(second, jobId, after).then((response) => response.text()),
  ]);
  const whole = withoutIds(seen + rest);
  expect(whole).toBe(withoutIds(seen) + deltaText(eventsOf(events)));
  expect(whole).toBe(await (await get(second, `/v1/jobs/${jobId}/result`)).text());
  expect(chunksIn(whole)).toBe(100);
  expect(faults.arrivals.total).toBe(1);
  expect(await faults.ledger()).toMatchObject([{ kind: 'settled', job: jobId, outputTokens: 100 }]);
});

test.each([3, 11])(
  'a client cut every %i chunks that resumes on the other of two ingresses each time reads the whole',
  async (chunks) => {
    system = await FaultSystem.start();
    const faults = system;
    const [first, second] = await Promise.all([faults.ingress(), faults.ingress(), faults.worker()]);
    const body = streamed('wanders', { perTokenMs: 20, outputTokens: 120 });
    const headers = { 'idempotency-key': 'wanders', 'x-sluice-on-disconnect': 'continue' };
    let [whole, jobId, cuts] = ['', '', 0];
    for (let after: string | undefined; !whole.includes('[DONE]'); cuts++) {
      const resume: Record<string, string> = after ? { 'last-event-id': after } : {};
      const reader = await open(cuts % 2 ? second : first, body, { ...headers, ...resume });
      jobId ||= reader.response.headers.get('x-sluice-job-id')!;
      const enough = (received: string) => chunksIn(received) >= chunks;
      const text = firstEvents(await reader.readUntil(enough), enough);
      await reader.cut();
      after = lastId(text) ?? after;
      whole += withoutIds(text);
    }
    expect(cuts).toBeGreaterThanOrEqual(120 / chunks);
    await until('the job has ended', async () => (await faults.states([jobId]))[0] === 'succeeded');
    expect(whole).toBe(await faults.store.hget(keys.job('acme', jobId), 'body'));
    expect(faults.arrivals.total).toBe(1);
  },
);

test('kill -9 of Redis in the middle of a stream: the provider is not held, and the answer is whole when Redis is back', async () => {
  system = await FaultSystem.start();
  const faults = system;
  const [ingress] = await Promise.all([faults.ingress(), faults.worker()]);
  const reader = await open(ingress, streamed('outlives', { perTokenMs: 15, outputTokens: 100 }));
  const jobId = reader.response.headers.get('x-sluice-job-id')!;
  await reader.readUntil((text) => chunksIn(text) >= 15);
  await faults.redis.kill();
  await until('the provider is done', () => faults.arrivals.inFlight === 0);
  await faults.redis.start();
  expect(await faults.ended([jobId])).toEqual({ succeeded: 1 });
  await until('the ingress is back', async () => (await get(ingress, `/v1/jobs/${jobId}`)).ok);
  const result = await (await get(ingress, `/v1/jobs/${jobId}/result`)).text();
  expect(chunksIn(result)).toBe(100);
  expect(withoutIds(await reader.rest())).toBe(result);
  expect(faults.arrivals.total).toBe(1);
});
