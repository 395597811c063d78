import { Relay } from 'bullmq';
import { settingsSchema } from '#config/schema.ts';
import type { OutcomeHead } from '#shared/contracts/outcome.ts';
import { systemClock } from '#shared/kernel/clock.ts';
import { openRedis, type RedisConnection, untilReady } from '#shared/redis/connection.ts';
import { announce } from '#shared/results/announce.ts';
import { ReplyInbox } from '#shared/results/reply-inbox.ts';
import { percentile } from '../bench/percentile.ts';
import { Children } from '../cluster/children.ts';
import { RedisServer } from '../cluster/redis-server.ts';

/**
 * Three ways to tell one ingress that a job has gone on: the list that its inbox reads, plain pub/sub, and BullMQ's
 * Relay. Same payload, same pace; prints the delay from send to receipt and what one message costs Redis.
 */
const messages = 5_000;
const perSecond = 1_000;
const warmUp = 200;
const rounds = 3;
const payload = Buffer.from('data: {"choices":[{"index":0,"delta":{"content":"word "}}]}\n\n'.repeat(4));
const ingressId = 'ingress_load';

const head: OutcomeHead = {
  job: '',
  state: 'succeeded',
  status: 200,
  contentType: 'text/event-stream',
  headers: {},
  provider: 'load',
  model: 'load',
  error: null,
  attempts: 1,
  queueMs: 0,
  providerMs: 0,
};

interface Way {
  name: string;
  send: (index: number) => Promise<unknown>;
  stop: () => Promise<unknown>;
}
type Receive = (index: number) => void;

const settings = settingsSchema.parse({ providers: {}, customers: {} });
const children = new Children();
const server = await RedisServer.start(children);
const connect = async (profile: 'commands' | 'blocking') => {
  const connection = openRedis(server.url, settings.redis, profile, 'fan-out');
  await untilReady(connection, 10_000);
  return connection;
};
const commands = await connect('commands');

async function replyList(receive: Receive): Promise<Way> {
  const inbox = new ReplyInbox({
    ingressId,
    blocking: await connect('blocking'),
    subscriber: await connect('blocking'),
    clock: systemClock,
    settings: settings.replies,
    receive: ({ head }) => receive(Number(head.job)),
    onError: console.error,
  });
  await inbox.start();
  const send = (index: number) =>
    announce(commands, settings.replies, [ingressId], { ...head, job: String(index) }, payload);
  return { name: 'reply list', send, stop: () => inbox.stop() };
}

async function pubSub(receive: Receive): Promise<Way> {
  const subscriber = await connect('blocking');
  subscriber.on('message', (_channel, message: string) =>
    receive(Number(message.slice(0, message.indexOf(' ')))),
  );
  await subscriber.subscribe('fan-out');
  const send = (index: number) => commands.publish('fan-out', `${index} ${payload.toString()}`);
  return { name: 'pub/sub', send, stop: async () => subscriber.disconnect() };
}

async function relay(receive: Receive): Promise<Way> {
  const options = { connection: { url: server.url }, namespace: 'load' };
  const [from, to] = [new Relay(options), new Relay(options)];
  await to.subscribe<{ index: number }>('ingress.load', ({ data }) => receive(data.index));
  const send = (index: number) => from.publish('ingress.load', { index, payload: payload.toString() });
  return { name: 'BullMQ Relay', send, stop: () => Promise.all([from.close(), to.close()]) };
}

async function redisCpuSeconds(connection: RedisConnection): Promise<number> {
  const info = await connection.info('cpu');
  const field = (name: string) => Number(new RegExp(`^${name}:(\\S+)`, 'm').exec(info)?.[1] ?? 0);
  return field('used_cpu_sys') + field('used_cpu_user');
}

async function measure(open: (receive: Receive) => Promise<Way>): Promise<Record<string, number | string>> {
  const sentMs: number[] = [];
  const delays: number[] = [];
  const way = await open((index) => {
    if (index >= warmUp) delays.push(systemClock.monotonicMs() - sentMs[index]!);
  });
  const pace = async (from: number, to: number) => {
    const startedMs = systemClock.monotonicMs();
    for (let next = from; next < to; ) {
      const due = Math.min(
        to,
        from + Math.floor(((systemClock.monotonicMs() - startedMs) / 1_000) * perSecond),
      );
      const some: Promise<unknown>[] = [];
      for (; next < due; next++) {
        sentMs[next] = systemClock.monotonicMs();
        some.push(way.send(next));
      }
      await Promise.all(some);
      await systemClock.sleep(1);
    }
  };
  await pace(0, warmUp);
  const before = await redisCpuSeconds(commands);
  await pace(warmUp, warmUp + messages);
  const cpu = (await redisCpuSeconds(commands)) - before;
  await systemClock.sleep(200);
  await way.stop();
  const sorted = delays.toSorted((left, right) => left - right);
  const ms = (share: number) => Math.round(percentile(sorted, share) * 100) / 100;
  return {
    way: way.name,
    received: delays.length,
    p50Ms: ms(0.5),
    p99Ms: ms(0.99),
    redisMicrosecondsPerMessage: Math.round((cpu / messages) * 1e6),
  };
}

const results: Record<string, number | string>[] = [];
for (let round = 0; round < rounds; round++) {
  for (const open of [replyList, pubSub, relay]) results.push({ round, ...(await measure(open)) });
}
for (const result of results) console.log(JSON.stringify(result));
commands.disconnect();
await server.stop();
process.exit(0);
