import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { WebSocket } from 'ws';
import { z } from 'zod';
import { settingsSchema } from '#config/schema.ts';
import { JobStore } from '#shared/jobs/job-store.ts';
import { systemClock } from '#shared/kernel/clock.ts';
import { openRedis, untilReady } from '#shared/redis/connection.ts';
import { announceProgress } from '#shared/results/announce.ts';
import { EventLog } from '#shared/results/event-log.ts';
import { percentile } from '../bench/percentile.ts';
import { Children } from '../cluster/children.ts';
import { Product } from '../cluster/product.ts';
import { RedisServer } from '../cluster/redis-server.ts';

/**
 * Many WebSocket clients on one ingress, each following a job of its own: what they cost in memory, and how long an
 * event takes from its write into the log to its client. The command is the worker: it begins the jobs and writes
 * their events as a worker does, so that it knows when each was written.
 */
const key = 'sk-sl-load';
const tenant = 'load';
const openedTogether = 100;
const leaseMs = 300_000;

const number = (preset: number, max: number) => z.coerce.number().int().min(1).max(max).default(preset);
const flags = z
  .object({
    clients: number(5_000, 100_000),
    events: number(20_000, 10_000_000),
    rate: number(1_000, 100_000),
    json: z.boolean().default(false),
  })
  .parse(
    parseArgs({
      options: {
        clients: { type: 'string' },
        events: { type: 'string' },
        rate: { type: 'string' },
        json: { type: 'boolean' },
      },
    }).values,
  );

const configuration = {
  http: { host: '127.0.0.1', port: 0 },
  operations: { port: 0 },
  jobs: { lease_ms: leaseMs },
  sockets: { process_max: 100_000, key_max: 100_000 },
  providers: {
    load: {
      dialect: 'openai',
      base_url: 'http://127.0.0.1:9/v1',
      credentials: [{ id: 'main', api_key: 'sk-none' }],
      pools: { chat: { models: ['gpt-5-mini'] } },
    },
  },
  customers: { [tenant]: { keys: [{ id: 'load', key }] } },
};

interface Client {
  jobId: string;
  /** Bytes written for it so far, and when the write that it has not seen yet began. */
  bytes: number;
  followers: readonly string[];
  sentMs: number | undefined;
}

async function residentMiB(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Math.round(Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1_024);
}

const delays: number[] = [];

/** Opens a socket that has submitted a job and follows it. */
async function openClient(url: string): Promise<Client> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/ws`, {
    headers: { authorization: `Bearer ${key}` },
    perMessageDeflate: false,
  });
  await once(socket, 'open');
  const body = { model: 'gpt-5-mini', stream: true, messages: [{ role: 'user', content: 'hello' }] };
  socket.send(JSON.stringify({ type: 'submit', job: { endpoint: '/v1/chat/completions', body } }));
  return new Promise((resolve) => {
    let client: Client | undefined;
    socket.on('message', (data: Buffer) => {
      const message = JSON.parse(data.toString()) as { type: string; event?: string; job: string };
      if (message.type === 'submitted')
        client = { jobId: message.job, bytes: 0, followers: [], sentMs: undefined };
      else if (message.event === 'queued') resolve(client!);
      else if (message.event === 'delta' && client?.sentMs !== undefined) {
        delays.push(systemClock.monotonicMs() - client.sentMs);
        client.sentMs = undefined;
      }
    });
  });
}

const children = new Children();
const redisServer = await RedisServer.start(children);
const product = await Product.start(children, configuration, redisServer.url);
const settings = settingsSchema.parse(configuration);
const redis = openRedis(redisServer.url, settings.redis, 'commands', 'load');
await untilReady(redis, 10_000);
const jobs = new JobStore(redis, settings.jobs);
const log = new EventLog(redis, leaseMs);

const emptyMiB = await residentMiB(product.ingressPid);
const clients: Client[] = [];
for (let opened = 0; opened < flags.clients; opened += openedTogether) {
  const some = Array.from({ length: Math.min(openedTogether, flags.clients - opened) }, () =>
    openClient(product.url),
  );
  clients.push(...(await Promise.all(some)));
}
const openMiB = await residentMiB(product.ingressPid);

for (const client of clients) {
  const { jobId } = client;
  const begun = await jobs.begin({
    tenant,
    jobId,
    token: 'load',
    owner: 'load',
    place: { provider: 'load', pool: 'chat' },
    mayTakeOver: true,
    mayRunSuspect: true,
  });
  if (begun.kind !== 'begun') throw new Error(`not begun: ${begun.kind}`);
  client.followers = begun.job.followers;
}

/** Writes one event of a job as a worker does: into the log, and to who follows it, in one write. */
async function push(client: Client): Promise<void> {
  const { jobId, followers, bytes: from } = client;
  const bytes = Buffer.from(`data: {"choices":[{"index":0,"delta":{"content":"word ${from} "}}]}\n\n`);
  client.bytes += bytes.length;
  client.sentMs = systemClock.monotonicMs();
  const appended = log.append(tenant, jobId, 'load', { place: { epoch: 1, bytes: client.bytes }, bytes });
  await announceProgress(redis, settings.replies, followers, { job: jobId, epoch: 1, from }, bytes);
  if ((await appended) === 'lost') throw new Error('lease lost');
}

const startedMs = systemClock.monotonicMs();
for (let sent = 0; sent < flags.events; ) {
  const due = Math.min(
    flags.events,
    Math.floor(((systemClock.monotonicMs() - startedMs) / 1_000) * flags.rate),
  );
  const some: Promise<void>[] = [];
  for (; sent < due; sent++) {
    const client = clients[sent % clients.length]!;
    if (client.sentMs === undefined) some.push(push(client));
  }
  await Promise.all(some);
  await systemClock.sleep(1);
}
const tookSeconds = (systemClock.monotonicMs() - startedMs) / 1_000;
await systemClock.sleep(2_000);
const loadedMiB = await residentMiB(product.ingressPid);
const sorted = delays.toSorted((left, right) => left - right);
const ms = (share: number) => Math.round(percentile(sorted, share) * 10) / 10;
const result = {
  clients: flags.clients,
  events: delays.length,
  unseen: clients.filter(({ sentMs }) => sentMs !== undefined).length,
  eventsPerSecond: Math.round(delays.length / tookSeconds),
  ingressMiB: { empty: emptyMiB, connected: openMiB, loaded: loadedMiB },
  kiBPerClient: Math.round(((openMiB - emptyMiB) * 1_024 * 10) / flags.clients) / 10,
  pushMs: { p50: ms(0.5), p99: ms(0.99), max: ms(1) },
};
console.log(flags.json ? JSON.stringify(result) : result);
redis.disconnect();
await product.kill();
await redisServer.stop();
process.exit(0);
