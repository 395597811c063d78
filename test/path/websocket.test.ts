import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { openSocket, refusalOf, type SocketClient, type SocketDoor } from '../harness/socket-client.ts';
import { deltaText, eventsOf } from '../harness/sse.ts';
import { otherKey, testKey } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';
import { submit, untilCalled, untilStatus } from './support.ts';

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice({
    settings: {
      sockets: {
        subscriptions_max: 3,
        key_max: 4,
        message_max_bytes: 20_000,
        messages_per_second: 30,
        ticket_ms: 1_000,
        buffer_max_bytes: 16_384,
        stall_ms: 1_000,
        origins: ['https://app.example.com'],
      },
    },
  });
});
afterAll(() => sluice.stop());

const opened: SocketClient[] = [];
afterEach(async () => {
  for (const { socket } of opened) socket.terminate();
  await Promise.all(opened.splice(0).map(({ closed }) => closed));
});

async function open(door?: SocketDoor): Promise<SocketClient> {
  const client = await openSocket(sluice.url, door);
  opened.push(client);
  return client;
}

const streamed = (text: string, fault: Record<string, unknown> = {}) => ({
  ...chat(text, fault),
  stream: true,
});
const slowly = { perTokenMs: 10, outputTokens: 40 };
const ended = (job: string) => (message: { job?: string; event?: string }) =>
  message.job === job && ['completed', 'failed', 'cancelled'].includes(message.event ?? '');
const textOf = ({ messages }: SocketClient, job: string) =>
  messages
    .filter((message) => message.job === job && message.event === 'delta')
    .map(({ data }) => data!.text)
    .join('');

test('a followed job: the events, ids and bytes of the SSE door', async () => {
  const client = await open();
  const job = await submit(sluice, streamed('followed', slowly));
  client.say({ type: 'subscribe', ref: 'a', jobs: [job] });
  await client.hear(ended(job));
  const sse = eventsOf(await (await sluice.get(`/v1/jobs/${job}/events`)).text());
  const result = await (await sluice.get(`/v1/jobs/${job}/result`)).text();
  expect(textOf(client, job)).toBe(result);
  expect(deltaText(sse)).toBe(result);
  const states = (events: { event?: string | undefined; id?: string | undefined }[]) =>
    events
      .filter(({ event }) => event !== undefined && event !== 'delta')
      .map(({ event, id }) => [event, id]);
  expect(states(client.messages)).toEqual(states(sse));
  const last = client.messages.find(ended(job))!;
  expect(last.data).toEqual(JSON.parse(sse.at(-1)!.data));
});

test('after: another socket reads exactly the rest, of one job or of several', async () => {
  const first = await open();
  const [one, two] = [await submit(sluice, streamed('one', slowly)), await submit(sluice, chat('two'))];
  first.say({ type: 'subscribe', jobs: [one, two] });
  const seen = await first.hear(({ job, event }) => job === one && event === 'delta');
  first.socket.terminate();
  await Promise.all([one, two].map((job) => untilStatus(sluice, job, 'succeeded')));
  const second = await open();
  second.say({ type: 'subscribe', jobs: [one, two], after: { [one]: seen.id } });
  await Promise.all([one, two].map((job) => second.hear(ended(job))));
  const result = await (await sluice.get(`/v1/jobs/${one}/result`)).text();
  expect(textOf(second, one)).toBe(result.slice(Number(seen.id!.split('-')[1])));
  expect(textOf(second, two)).toBe(await (await sluice.get(`/v1/jobs/${two}/result`)).text());
});

test('submit, cancel, unsubscribe and ping over the socket', async () => {
  const client = await open();
  client.say({ type: 'ping', ref: 'p' });
  expect(await client.hear(({ type }) => type === 'pong')).toMatchObject({ ref: 'p' });
  client.say({
    type: 'submit',
    ref: 's',
    job: { endpoint: '/v1/chat/completions', body: chat('hi', { hang: true }) },
  });
  const { job } = await client.hear(({ type }) => type === 'submitted');
  await untilCalled(sluice, job!);
  await client.hear(({ event }) => event === 'dispatched');
  client.say({ type: 'cancel', ref: 'c', job });
  expect(await client.hear(({ event }) => event === 'cancelled')).toMatchObject({ job });
  expect(client.messages).toContainEqual({ type: 'cancelling', ref: 'c', job, state: 'requested' });

  const other = await submit(sluice, chat('later', { delayMs: 400 }));
  client.say({ type: 'subscribe', jobs: [other] });
  await client.hear((message) => message.type === 'subscribed');
  client.say({ type: 'unsubscribe', jobs: [other] });
  await client.hear((message) => message.type === 'unsubscribed');
  await untilStatus(sluice, other, 'succeeded');
  expect(client.messages.some(ended(other))).toBe(false);
});

test('what is wrong is answered with an error that names it, and the socket goes on', async () => {
  const client = await open();
  const none = `job_${'0'.repeat(32)}`;
  const foreign = await submitAs(otherKey);
  const done = (await sluice.post('/v1/chat/completions', chat())).headers.get('x-sluice-job-id')!;
  const cases: [unknown, string][] = [
    ['{', 'invalid_json'],
    [{ type: 'nothing' }, 'invalid_request'],
    [{ type: 'subscribe', jobs: [] }, 'invalid_request'],
    [{ type: 'subscribe', jobs: ['x'] }, 'job_not_found'],
    [{ type: 'subscribe', jobs: [none] }, 'job_not_found'],
    [{ type: 'subscribe', jobs: [foreign] }, 'job_not_found'],
    [{ type: 'subscribe', jobs: [done], after: 'x' }, 'invalid_request'],
    [{ type: 'cancel', job: foreign }, 'job_not_found'],
    [{ type: 'submit', job: { endpoint: '/v1/nothing' } }, 'invalid_request'],
    [
      { type: 'submit', job: { endpoint: '/v1/chat/completions', body: { ...chat(), model: 'none' } } },
      'model_not_found',
    ],
  ];
  for (const [index, [message, code]] of cases.entries()) {
    client.socket.send(
      typeof message === 'string' ? message : JSON.stringify({ ...(message as object), ref: index }),
    );
    await until(
      `${code} for case ${index}`,
      () => client.messages.filter(({ type }) => type === 'error').length > index,
    );
    expect(client.messages.filter(({ type }) => type === 'error')[index], String(index)).toMatchObject({
      code,
    });
  }
  expect(client.messages.some(({ event }) => event !== undefined)).toBe(false);
  client.say({ type: 'ping' });
  await client.hear(({ type }) => type === 'pong');
});

async function submitAs(key: string): Promise<string> {
  const response = await sluice.post(
    '/v1/jobs',
    { endpoint: '/v1/chat/completions', body: chat('foreign') },
    { authorization: `Bearer ${key}` },
  );
  return ((await response.json()) as { id: string }).id;
}

test('more subscriptions than allowed: the surplus is refused, the others stay', async () => {
  const client = await open();
  const jobs: string[] = [];
  for (let index = 0; index < 4; index++)
    jobs.push(await submit(sluice, chat(`job ${index}`, { hang: true })));
  client.say({ type: 'subscribe', jobs });
  const refused = await client.hear(({ type }) => type === 'error');
  expect(refused).toMatchObject({ code: 'too_many_subscriptions', job: jobs[3] });
  await client.hear(({ type }) => type === 'subscribed');
  for (const job of jobs) await sluice.post(`/v1/jobs/${job}/cancel`, '');
  await Promise.all(jobs.slice(0, 3).map((job) => client.hear(ended(job))));
});

test('a ticket opens one socket, once, for its tenant, and not after its time', async () => {
  const issue = async (key = testKey) => {
    const response = await sluice.post('/v1/ws/tickets', '', { authorization: `Bearer ${key}` });
    expect(response.status).toBe(201);
    return ((await response.json()) as { ticket: string }).ticket;
  };
  const ticket = await issue();
  const door = { path: `/v1/ws?ticket=${ticket}`, headers: {} };
  const client = await open(door);
  const own = await submit(sluice, chat());
  client.say({ type: 'subscribe', jobs: [own] });
  await client.hear(ended(own));
  expect(await refusalOf(sluice.url, door)).toBe(401);

  const foreign = await open({ path: `/v1/ws?ticket=${await issue(otherKey)}`, headers: {} });
  foreign.say({ type: 'subscribe', jobs: [own] });
  expect(await foreign.hear(({ type }) => type === 'error')).toMatchObject({ code: 'job_not_found' });

  const late = await issue();
  const store = sluice.redis.connect();
  await until('the ticket has expired', async () => (await store.keys('sl:ticket:*')).length === 0);
  store.disconnect();
  expect(await refusalOf(sluice.url, { path: `/v1/ws?ticket=${late}`, headers: {} })).toBe(401);
});

test('an upgrade is refused: 401 without a key or with a wrong one, 403 from a foreign page, 503 past the limit of a key', async () => {
  const key = { authorization: `Bearer ${testKey}` };
  expect(await refusalOf(sluice.url, { headers: {} })).toBe(401);
  expect(await refusalOf(sluice.url, { headers: { authorization: 'Bearer wrong' } })).toBe(401);
  expect(await refusalOf(sluice.url, { path: '/v1/ws?ticket=none', headers: {} })).toBe(401);
  expect(await refusalOf(sluice.url, { headers: { ...key, origin: 'https://evil.example.com' } })).toBe(403);
  expect(await refusalOf(sluice.url, { headers: { ...key, origin: sluice.url } })).toBe(101);
  expect(await refusalOf(sluice.url, { headers: { ...key, origin: 'https://app.example.com' } })).toBe(101);
  const first = await until('places are free again', () => open().catch(() => undefined));
  await Promise.all([open(), open(), open()]);
  expect(await refusalOf(sluice.url, { headers: key })).toBe(503);
  first.socket.terminate();
  await until('its place is free', async () => (await refusalOf(sluice.url, { headers: key })) === 101);
});

test('GET without an upgrade is 426', async () => {
  expect((await sluice.get('/v1/ws')).status).toBe(426);
});

test('a socket is closed with a code that says why: too large, not text, too many messages', async () => {
  const [large, binary, flood] = [await open(), await open(), await open()];
  large.socket.send('x'.repeat(30_000));
  binary.socket.send(Buffer.from('{}'));
  for (let index = 0; index < 40; index++) flood.say({ type: 'ping' });
  expect((await large.closed).code).toBe(1009);
  expect(await binary.closed).toEqual({ code: 4400, reason: 'send JSON as text' });
  expect(await flood.closed).toEqual({ code: 4429, reason: 'too many messages' });
});

test('a client that answers no ping is closed, one that does stays open', async () => {
  const { redis, simulator } = sluice;
  const settings = { sockets: { heartbeat_ms: 300 } };
  const watchful = await startSluice({ redis, simulator, settings, withoutWorker: true });
  try {
    const silent = await openSocket(watchful.url, { autoPong: false });
    await silent.closed;
    const alive = await openSocket(watchful.url);
    for (let pings = 0; pings < 3; pings++) await once(alive.socket, 'ping');
    alive.socket.terminate();
  } finally {
    await watchful.stop();
  }
});

test('a slow reader is cut, its job goes on, and another socket reads all of it', async () => {
  const client = await open();
  const job = await submit(sluice, streamed('long', { outputTokens: 40_000, perTokenMs: 0.02 }));
  client.say({ type: 'subscribe', jobs: [job] });
  await client.hear(({ event }) => event === 'delta');
  client.socket.pause();
  await untilStatus(sluice, job, 'succeeded');
  await until(
    'the slow reader is cut',
    async () => (await sluice.metrics.openSockets.get()).values[0]!.value === 0,
  );
  client.socket.resume();
  await client.closed;
  expect(client.messages.some(ended(job))).toBe(false);
  const second = await open();
  second.say({ type: 'subscribe', jobs: [job] });
  await second.hear(ended(job));
  expect(textOf(second, job)).toBe(await (await sluice.get(`/v1/jobs/${job}/result`)).text());
});

test('a server that stops says so to every socket', async () => {
  const stopping = await startSluice({
    redis: sluice.redis,
    simulator: sluice.simulator,
    withoutWorker: true,
  });
  const client = await openSocket(stopping.url);
  await stopping.stop();
  expect(await client.closed).toEqual({ code: 1001, reason: 'this server is stopping' });
});
