import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { keys } from '#shared/redis/keys.ts';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { readSse, withoutIds } from '../harness/sse.ts';
import { otherKey, testKey } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';
import { arrivalsAt, jobOf, untilCalled, untilStatus } from './support.ts';

const path = '/v1/chat/completions';
const together = { 'x-sluice-coalesce': 'true' };
/** Long enough for whoever is to come meanwhile; each test ends its calls itself. */
const slow = { delayMs: 60_000 };

/** A provider that answers when it is told to. */
const held: ServerResponse[] = [];
const provider = createServer((request, response) => {
  request.resume();
  held.push(response);
});

/** The next request that the provider holds. */
const nextHeld = () => until('the provider is called', () => held.shift());

let sluice: TestSluice;
beforeAll(async () => {
  provider.listen(0, '127.0.0.1');
  await once(provider, 'listening');
  const base_url = `http://127.0.0.1:${(provider.address() as AddressInfo).port}/v1`;
  const credentials = [{ id: 'main', api_key: 'sk-held' }];
  const patient = {
    dialect: 'openai' as const,
    base_url,
    credentials,
    pools: { held: { models: ['held'] } },
  };
  sluice = await startSluice({ settings: { providers: { patient } } });
});
afterAll(async () => {
  await sluice.stop();
  provider.closeAllConnections();
  provider.close();
});
beforeEach(() => {
  sluice.simulator.log.clear();
  held.length = 0;
});

/** A call that is held open and can be hung up; `job` is the one that answers it. */
function open(body: unknown, headers: Record<string, string> = together, url = sluice.url) {
  const hangUp = new AbortController();
  const answer = fetch(`${url}${path}`, {
    method: 'POST',
    body: JSON.stringify(body),
    signal: hangUp.signal,
    headers: { authorization: `Bearer ${testKey}`, 'content-type': 'application/json', ...headers },
  });
  answer.catch(() => undefined);
  return { answer, hangUp: () => hangUp.abort() };
}

const newest = async () =>
  ((await (await sluice.get('/v1/jobs?limit=1')).json()) as { data: { id: string }[] }).data[0]?.id;

/** Callers of the job that most share now. */
async function readers(): Promise<number> {
  const redis = sluice.redis.connect();
  try {
    const shared = await redis.keys(keys.together('acme', '*'));
    const counts = await Promise.all(shared.map(async (key) => (await redis.hlen(key)) - 1));
    return Math.max(0, ...counts);
  } finally {
    redis.disconnect();
  }
}
const untilReaders = (count: number) =>
  until(`${count} callers share it`, async () => (await readers()) === count);

test('100 identical calls at once are one job, one provider call and 100 equal answers', async () => {
  const body = { ...chat('same'), model: 'held' };
  const calls = Array.from({ length: 100 }, () => sluice.post(path, body, together));
  await untilReaders(100);
  const answer = await nextHeld();
  answer.setHeader('content-type', 'application/json');
  answer.end(JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion', choices: [] }));
  const responses = await Promise.all(calls);
  const bodies = new Set(await Promise.all(responses.map((response) => response.text())));
  expect(new Set(responses.map(({ status }) => status))).toEqual(new Set([200]));
  expect([bodies.size, held.length]).toEqual([1, 0]);
  expect(new Set(responses.map(({ headers }) => headers.get('x-sluice-job-id'))).size).toBe(1);
  expect(responses.filter(({ headers }) => headers.get('x-sluice-coalesced') === 'true')).toHaveLength(99);
  expect(await readers()).toBe(0);
});

test('streams are shared too, each from its beginning; what differs is not', async () => {
  const body = { ...chat('river'), model: 'held', stream: true };
  const first = open(body);
  const answer = await nextHeld();
  answer.writeHead(200, { 'content-type': 'text/event-stream' });
  answer.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: 'Wa' } }] })}\n\n`);
  const begun = readSse(await first.answer);
  await begun.readUntil((text) => text.includes('Wa'));
  const second = open(body);
  const others = [
    open({ ...body, stream: false }),
    open({ ...body, seed: 1 }),
    open(body, { ...together, authorization: `Bearer ${otherKey}` }),
  ];
  await until('the others have their own calls', () => held.length === 3);
  await untilReaders(2);
  const end = { choices: [{ index: 0, delta: { content: 'ter' }, finish_reason: 'stop' }] };
  answer.end(`data: ${JSON.stringify(end)}\n\ndata: [DONE]\n\n`);
  const two = await (await second.answer).text();
  expect(withoutIds(two)).toBe(withoutIds(await begun.rest()));
  for (const other of others) other.hangUp();
});

test('a failure is shared', async () => {
  const body = { ...chat('fails'), model: 'held' };
  const calls = [1, 2, 3].map(() => sluice.post(path, body, together));
  await untilReaders(3);
  const answer = await nextHeld();
  answer.writeHead(400, { 'content-type': 'application/json' });
  answer.end(JSON.stringify({ error: { message: 'no', type: 'invalid_request_error' } }));
  const answers = await Promise.all(calls);
  expect(answers.map(({ status }) => status)).toEqual([400, 400, 400]);
  expect(new Set(await Promise.all(answers.map((each) => each.text()))).size).toBe(1);
  expect(held).toHaveLength(0);
});

test('the first caller may hang up, and may not cancel, while others wait; the job ends with the last of them', async () => {
  const body = chat('left alone', slow);
  const leader = open(body);
  await untilReaders(1);
  const id = (await newest())!;
  await untilCalled(sluice, id);
  const others = [open(body), open(body)];
  await untilReaders(3);
  const refused = await sluice.post(`/v1/jobs/${id}/cancel`, {});
  expect([refused.status, await refused.json()]).toMatchObject([409, { code: 'job_shared' }]);
  leader.hangUp();
  await untilReaders(2);
  others[0]!.hangUp();
  await untilReaders(1);
  expect((await jobOf(sluice, id)).status).toBe('running');
  others[1]!.hangUp();
  await untilStatus(sluice, id, 'cancelled');
});

test('the one who made the job may cancel it when nobody else waits, and nobody joins it then', async () => {
  const body = chat('to be cancelled', slow);
  const alone = open(body);
  await untilReaders(1);
  const id = (await newest())!;
  await untilCalled(sluice, id);
  expect((await sluice.post(`/v1/jobs/${id}/cancel`, {})).status).toBe(200);
  const late = open(body);
  expect((await alone.answer).status).toBe(409);
  const other = await until('a job of its own', async () => {
    const job = await newest();
    return job === id ? undefined : job;
  });
  late.hangUp();
  await untilStatus(sluice, other, 'cancelled');
});

test('a call that wants something for its job alone has its own', async () => {
  const body = chat('own', { delayMs: 300 });
  const first = open(body);
  await untilReaders(1);
  const own = await Promise.all([
    sluice.post(path, body, { ...together, 'idempotency-key': 'k' }),
    sluice.post(path, body, { ...together, 'x-sluice-deadline': '60' }),
    sluice.post(path, body, { ...together, 'x-sluice-delivery': 'at_most_once' }),
    sluice.post(path, body, { ...together, 'x-sluice-cache-namespace': 'other' }),
    sluice.post(path, body),
  ]);
  expect(own.map(({ headers }) => headers.get('x-sluice-coalesced'))).toEqual(own.map(() => null));
  await first.answer;
  expect(arrivalsAt(sluice.simulator)).toHaveLength(6);
});
