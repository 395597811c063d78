import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { Queue } from 'bullmq';
import type { JobObject } from '#shared/jobs/job-object.ts';
import { keys } from '#shared/redis/keys.ts';
import type { Arrival } from '../../loadtest/simulator/arrivals/arrival-log.ts';
import type { Simulator } from '../../loadtest/simulator/start-simulator.ts';
import type { TestSluice } from '../harness/sluice.ts';
import { until } from '../harness/until.ts';

/** Every request the provider saw, oldest first. */
export function arrivalsAt(simulator: Simulator): Arrival[] {
  const arrivals: Arrival[] = [];
  simulator.log.visit(0, (segment, index, seq) => {
    arrivals.push(simulator.log.read(segment, index, seq));
    return true;
  });
  return arrivals;
}

/** Provider requests made for one job. */
export function callsOf(sluice: TestSluice, jobId: string): Arrival[] {
  return arrivalsAt(sluice.simulator).filter(({ clientRequestId }) =>
    clientRequestId.startsWith(`${jobId}/`),
  );
}

/** Resolves when the provider holds a request of the job. */
export function untilCalled(sluice: TestSluice, jobId: string): Promise<Arrival> {
  return until('the provider is called', () => callsOf(sluice, jobId)[0]);
}

export async function jobOf(sluice: TestSluice, jobId: string): Promise<JobObject> {
  return (await (await sluice.get(`/v1/jobs/${jobId}`)).json()) as JobObject;
}

export function untilStatus(
  sluice: TestSluice,
  jobId: string,
  status: JobObject['status'],
): Promise<JobObject> {
  return until(`job is ${status}`, async () => {
    const job = await jobOf(sluice, jobId);
    return job.status === status ? job : undefined;
  });
}

/** Submits a chat call as a job and returns its id. */
export async function submit(
  sluice: TestSluice,
  body: unknown,
  more: Record<string, unknown> = {},
): Promise<string> {
  const response = await sluice.post('/v1/jobs', { endpoint: '/v1/chat/completions', body, ...more });
  if (response.status !== 202) throw new Error(`not accepted: ${response.status} ${await response.text()}`);
  return ((await response.json()) as JobObject).id;
}

/** Tickets in all pools and job records of all tenants: 0 when nothing was taken in. */
export async function takenIn({ redis, settings }: TestSluice): Promise<number> {
  const connection = redis.connect();
  let count = 0;
  for (const [provider, { pools }] of Object.entries(settings.providers)) {
    for (const pool of Object.keys(pools)) {
      const queue = new Queue(pool, { connection, prefix: keys.queuePrefix(provider) });
      count += await queue.getJobCountByTypes(
        'wait',
        'prioritized',
        'active',
        'delayed',
        'completed',
        'failed',
      );
      await queue.close();
    }
  }
  for (const tenant of Object.keys(settings.customers)) count += await connection.zcard(keys.jobs(tenant));
  connection.disconnect();
  return count;
}

/** Sends bytes as they are and returns all that comes back until the server closes the connection. */
export async function sendRaw(url: string, bytes: string | Buffer): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('error', () => undefined);
  socket.write(bytes);
  await once(socket, 'close');
  return Buffer.concat(chunks).toString();
}

export interface Captured {
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
}

/** A provider that remembers what it was sent, byte for byte, and answers any call with `answer`. */
export async function captureProvider(answer: {
  status?: number;
  body: unknown;
}): Promise<{ url: string; captured: Captured[]; stop: () => Promise<void> }> {
  const captured: Captured[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString();
      captured.push({ path: request.url ?? '', headers: request.headers, body });
      response.writeHead(answer.status ?? 200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(answer.body));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    captured,
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
