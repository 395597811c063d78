import type { ServerResponse } from 'node:http';
import { z } from 'zod';
import type { Arrival } from './arrivals/arrival-log.ts';
import { summarize } from './arrivals/summary.ts';
import { reportWindows } from './arrivals/windows.ts';
import { queuedFaultSchema } from './faults/fault-schema.ts';
import { latencySchema } from './latency.ts';
import { limitsSchema } from './limits/limits-schema.ts';
import type { Simulation } from './simulation.ts';

const maxArrivalsPerPage = 10_000;
const oneDayMs = 86_400_000;

const wholeNumber = z.coerce.number().int().nonnegative();
const arrivalsQuery = z.strictObject({
  since: wholeNumber.default(0),
  limit: wholeNumber.min(1).max(maxArrivalsPerPage).default(1000),
  clientRequestIdPrefix: z.string().optional(),
  status: wholeNumber.optional(),
  credential: z.string().optional(),
});
const windowsQuery = z.strictObject({
  windowMs: wholeNumber.min(1).max(oneDayMs).default(60_000),
  sliceMs: wholeNumber.min(1).max(oneDayMs).default(1000),
  credential: z.string().optional(),
  model: z.string().optional(),
});

type Action = (simulation: Simulation, query: Record<string, string>, body: string) => unknown;

const actions: Record<string, Action> = {
  'GET /_sim/health': (simulation) => ({ ok: true, nextSeq: simulation.log.nextSeq }),
  'GET /_sim/arrivals': (simulation, query) => listArrivals(simulation, arrivalsQuery.parse(query)),
  'DELETE /_sim/arrivals': (simulation) => {
    simulation.log.clear();
    return { nextSeq: simulation.log.nextSeq };
  },
  'GET /_sim/summary': (simulation) => summarize(simulation.log),
  'GET /_sim/windows': (simulation, query) => reportWindows(simulation.log, windowsQuery.parse(query)),
  'GET /_sim/faults': (simulation) => ({ pending: simulation.faults.pending }),
  'POST /_sim/faults': (simulation, _query, body) => {
    const entry = queuedFaultSchema.parse(JSON.parse(body));
    if (!simulation.faults.add(entry)) throw new RangeError('Too many faults are waiting already.');
    return { pending: simulation.faults.pending };
  },
  'DELETE /_sim/faults': (simulation) => {
    simulation.faults.clear();
    return { pending: 0 };
  },
  'GET /_sim/latency': (simulation) => simulation.latency.config,
  'PUT /_sim/latency': (simulation, _query, body) => {
    simulation.latency.replace(latencySchema.parse(JSON.parse(body)));
    return simulation.latency.config;
  },
  'GET /_sim/limits': (simulation) => simulation.limits.config,
  'PUT /_sim/limits': (simulation, _query, body) => {
    simulation.limits.replace(limitsSchema.parse(JSON.parse(body)));
    return simulation.limits.config;
  },
};

/** The simulator's own interface under /_sim/: what arrived, and how it is to behave. */
export function handleControl(
  simulation: Simulation,
  response: ServerResponse,
  asked: { method: string; path: string; query: string; body: Buffer },
): void {
  const action = actions[`${asked.method} ${asked.path}`];
  if (!action) {
    sendJson(response, 404, { error: `There is no ${asked.method} ${asked.path}.` });
    return;
  }
  try {
    const query = Object.fromEntries(new URLSearchParams(asked.query));
    sendJson(response, 200, action(simulation, query, asked.body.toString()));
  } catch (error) {
    sendJson(response, 400, { error: explain(error) });
  }
}

function explain(error: unknown): string {
  if (error instanceof z.ZodError) return z.prettifyError(error);
  if (error instanceof SyntaxError) return `The body is not JSON: ${error.message}`;
  if (error instanceof RangeError) return error.message;
  throw error;
}

function listArrivals(simulation: Simulation, query: z.infer<typeof arrivalsQuery>) {
  const { log } = simulation;
  const arrivals: Arrival[] = [];
  let nextSeq = log.nextSeq;
  log.visit(query.since, (segment, index, seq) => {
    if (arrivals.length === query.limit) {
      nextSeq = seq;
      return false;
    }
    if (query.status !== undefined && segment.status[index] !== query.status) return true;
    const prefix = query.clientRequestIdPrefix ?? '';
    if (!segment.clientRequestId[index]!.startsWith(prefix)) return true;
    const credential = log.credentials.name(segment.credential[index]!);
    if (query.credential !== undefined && credential !== query.credential) return true;
    arrivals.push(log.read(segment, index, seq));
    return true;
  });
  return { arrivals, nextSeq, dropped: log.dropped };
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}
