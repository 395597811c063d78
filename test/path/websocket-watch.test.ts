import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { chatLine, openaiAt, startBatch, uploadLines } from '../harness/batches.ts';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { openSocket, type SocketClient, type SocketMessage } from '../harness/socket-client.ts';
import { otherKey } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';
import { submit, untilStatus } from './support.ts';

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice({
    settings: {
      sockets: { subscriptions_max: 3, watch_ms: 50 },
      batches: { beat_ms: 100, look_ms: 50, append_ms: 50, lines_open_per_batch_max: 4 },
    },
  });
});
afterAll(() => sluice.stop());

const opened: SocketClient[] = [];
afterEach(async () => {
  for (const { socket } of opened) socket.terminate();
  await Promise.all(opened.splice(0).map(({ closed }) => closed));
});

async function open(): Promise<SocketClient> {
  const client = await openSocket(sluice.url);
  opened.push(client);
  return client;
}

const isEnd = ({ event }: SocketMessage) => ['completed', 'failed', 'cancelled'].includes(event ?? '');
const endedJobs = ({ messages }: SocketClient) => messages.filter(isEnd).map(({ job }) => job!);
const textOf = ({ messages }: SocketClient, job: string) =>
  messages
    .filter((message) => message.job === job && message.event === 'delta')
    .map(({ data }) => data!.text)
    .join('');
const resultOf = async (job: string) => (await sluice.get(`/v1/jobs/${job}/result`)).text();
const quick = (text: string) => chat(text, { outputTokens: 2 });

async function watchAll(after?: string): Promise<SocketClient> {
  const client = await open();
  client.say({ type: 'subscribe', ref: 'all', all: true, after });
  expect(await client.hear(({ type }) => type === 'subscribed')).toEqual({
    type: 'subscribed',
    ref: 'all',
    all: true,
  });
  return client;
}

test('all: every job the tenant has accepted from then on, once, with its bytes, however few are followed at once', async () => {
  await submit(sluice, quick('before'));
  const client = await watchAll();
  const jobs = await Promise.all(
    Array.from({ length: 12 }, (_each, index) => submit(sluice, quick(`${index}`))),
  );
  const foreign = await sluice.post(
    '/v1/jobs',
    { endpoint: '/v1/chat/completions', body: quick('foreign') },
    { authorization: `Bearer ${otherKey}` },
  );
  expect(foreign.status).toBe(202);
  await until('every job has ended', () => endedJobs(client).length >= jobs.length);
  expect(endedJobs(client).toSorted()).toEqual(jobs.toSorted());
  for (const job of jobs) expect(textOf(client, job)).toBe(await resultOf(job));

  client.say({ type: 'unsubscribe', all: true });
  await client.hear(({ type }) => type === 'unsubscribed');
  const late = await submit(sluice, quick('late'));
  await untilStatus(sluice, late, 'succeeded');
  client.say({ type: 'ping' });
  await client.hear(({ type }) => type === 'pong');
  expect(client.messages.some(({ job }) => job === late)).toBe(false);
});

test('all, after a job: what was accepted since is replayed, and goes on', async () => {
  const seen = await submit(sluice, quick('seen'));
  const jobs: string[] = [];
  for (const text of ['a', 'b', 'c', 'd', 'e']) jobs.push(await submit(sluice, quick(text)));
  await Promise.all(jobs.map((job) => untilStatus(sluice, job, 'succeeded')));
  const client = await watchAll(seen);
  jobs.push(await submit(sluice, quick('f')));
  await until('every job has ended', () => endedJobs(client).length >= jobs.length);
  expect(endedJobs(client).toSorted()).toEqual(jobs.toSorted());
  expect(client.messages.some(({ job }) => job === seen)).toBe(false);
});

test('a batch: each line with its number, once, to the end, from any line on', async () => {
  const openai = openaiAt(sluice.url);
  const texts = Array.from({ length: 12 }, (_each, index) => `line ${index}`);
  const lines = texts.map((text) => chatLine(text, quick(text)));
  const { id } = await startBatch(openai, await uploadLines(openai, lines));
  const client = await open();
  client.say({ type: 'subscribe', batch: id });
  const over = await client.hear(({ type }) => type === 'over');
  expect(over).toEqual({ type: 'over', batch: id, status: 'completed' });
  await until('every line has ended', () => client.messages.filter(isEnd).length >= 12);
  const ends = client.messages.filter(isEnd) as (SocketMessage & { batch: string; line: number })[];
  expect(ends.map(({ line }) => line).toSorted((left, right) => left - right)).toEqual(
    texts.map((_text, index) => index + 1),
  );
  expect(ends.every(({ batch }) => batch === id)).toBe(true);
  for (const { job } of ends.slice(0, 3)) expect(textOf(client, job!)).toBe(await resultOf(job!));

  const second = await open();
  second.say({ type: 'subscribe', batch: id, after: 9 });
  await until('the rest has come', () => second.messages.filter(isEnd).length >= 3);
  await second.hear(({ type }) => type === 'over');
  expect(new Set(endedJobs(second))).toEqual(
    new Set(ends.filter(({ line }) => line > 9).map(({ job }) => job)),
  );
});

test('what cannot be watched is answered with an error that names it', async () => {
  const client = await open();
  const none = '0'.repeat(32);
  const cases: [Record<string, unknown>, string][] = [
    [{}, 'invalid_request'],
    [{ all: true, jobs: [`job_${none}`] }, 'invalid_request'],
    [{ all: true, after: 7 }, 'invalid_request'],
    [{ all: true, after: `job_${none}` }, 'job_not_found'],
    [{ batch: `batch_${none}` }, 'batch_not_found'],
    [{ batch: 'x:done' }, 'batch_not_found'],
    [{ batch: `batch_${none}`, after: '1-2' }, 'invalid_request'],
  ];
  for (const [index, [said, code]] of cases.entries()) {
    client.say({ type: 'subscribe', ref: index, ...said });
    const answer = await client.hear(({ ref }) => ref === (index as unknown));
    expect([said, answer.type, answer.code]).toEqual([said, 'error', code]);
  }
});
