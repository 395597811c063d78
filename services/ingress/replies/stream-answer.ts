import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Endpoint, endpointDialect } from '#shared/contracts/endpoint.ts';
import { errorEvent, wholeErrorEvent } from '#shared/contracts/error-body.ts';
import { beforeEverything, type EventPlace, type JobEvent } from '#shared/contracts/job-events.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { Subscription } from '#shared/results/event-feed.ts';
import type { IngressParts } from '../ingress-parts.ts';
import { sendOutcome } from './await-reply.ts';
import { withEventIds } from './event-ids.ts';
import { EventStream } from './event-stream.ts';
import { type ExtraFields, extraComment } from './extra-fields.ts';
import { readWaiting } from './send-job.ts';

export interface StreamedCall {
  endpoint: Endpoint;
  jobId: string;
  subscription: Subscription;
  /** Where the caller was, if it comes back. */
  after: EventPlace | undefined;
  /** The job was accepted just now. */
  fresh: boolean;
  /** Longest wait for the first byte of the answer, milliseconds. */
  waitMs: number;
  /** Said at the end, when the caller wants to know how its answer came about. */
  extra: ExtraFields | undefined;
}

/** `unanswered`: nothing was sent, and the wait is over. */
export type StreamEnd = 'answered' | 'disconnected' | 'unanswered';

/**
 * Answers with the provider's stream as it comes, each event with an id. What goes wrong before anything was sent is an
 * HTTP error; later it is an error event of the endpoint's dialect.
 */
export async function answerStream(
  parts: IngressParts,
  request: FastifyRequest,
  reply: FastifyReply,
  call: StreamedCall,
): Promise<StreamEnd> {
  const { clock, metrics } = parts;
  const { subscription, jobId, endpoint } = call;
  const stream = eventStreamOf(parts, request, reply, jobId);
  let late = false;
  const timer = clock.after(call.waitMs, () => {
    late = true;
    subscription.close();
  });
  const hangUp = () => subscription.close();
  reply.raw.once('close', hangUp);
  if (reply.raw.destroyed) hangUp();
  metrics.openCalls.inc();
  try {
    const ended = await relay(parts, reply, stream, call, () => timer.cancel());
    if (ended) return 'answered';
    if (late && !stream.opened) return 'unanswered';
    if (late)
      throw new SluiceError('await_timeout', { fields: { seconds: call.waitMs / 1_000, job: jobId } });
    if (reply.raw.destroyed) return stream.stalled ? 'answered' : 'disconnected';
    // The caller came back with the id of the last event: it has everything.
    if (!stream.opened) reply.code(204).send();
    return 'answered';
  } catch (error) {
    if (!stream.opened || !(error instanceof SluiceError)) throw error;
    await stream.write(errorEvent(endpoint, error, jobId));
    return 'answered';
  } finally {
    metrics.openCalls.dec();
    timer.cancel();
    reply.raw.off('close', hangUp);
    subscription.close();
    stream.end();
  }
}

/** An event stream that says why its job waits while there is nothing else to say. */
export function eventStreamOf(
  parts: IngressParts,
  request: FastifyRequest,
  reply: FastifyReply,
  jobId: string,
): EventStream {
  const { stall_ms, waiting_ms } = parts.settings.streams;
  const comment = async () => `waiting ${JSON.stringify(await readWaiting(parts, request, jobId))}`;
  return new EventStream(reply, { clock: parts.clock, stallMs: stall_ms, quietMs: waiting_ms, comment });
}

/** True when the answer was sent to its end. `onFirst` is called with the first byte of the answer. */
async function relay(
  parts: IngressParts,
  reply: FastifyReply,
  stream: EventStream,
  { subscription, jobId, endpoint, after = beforeEverything, fresh, extra }: StreamedCall,
  onFirst: () => void,
): Promise<boolean> {
  // The attempt whose answer the reader has begun to read; no other one continues it.
  let epoch = after.bytes > 0 ? after.epoch : undefined;
  for await (const event of subscription.events(after, fresh)) {
    if (event.type === 'ended') {
      if (extra && stream.opened) await stream.write(extraComment(event.head, extra));
      return true;
    }
    if (event.type === 'queued') continue;
    if (event.type === 'delta' && isWhole(event))
      return sendWhole(parts, reply, stream, endpoint, jobId, event);
    if (epoch !== undefined && event.place.epoch !== epoch)
      throw new SluiceError('stream_restarted', { fields: { job: jobId } });
    if (event.type === 'dispatched') continue;
    epoch = event.place.epoch;
    onFirst();
    const bytes = takesIds(endpoint) ? withEventIds(event.bytes, event.place) : event.bytes;
    if (!(await stream.write(bytes))) return false;
  }
  return false;
}

/** Google's SDK takes everything after `data:` for JSON, an `id:` line too. */
const takesIds = (endpoint: Endpoint) => endpointDialect[endpoint] !== 'gemini';

type Delta = Extract<JobEvent, { type: 'delta' }>;

const isWhole = ({ head }: Delta) => head !== undefined && !head.streamed;

/** A job that ended without a stream: its outcome as it is, or as an error event when a stream was promised already. */
async function sendWhole(
  { jobs }: IngressParts,
  reply: FastifyReply,
  stream: EventStream,
  endpoint: Endpoint,
  jobId: string,
  { head }: Delta,
): Promise<boolean> {
  const outcome = await jobs.outcome(tenantOf(reply), jobId);
  if (!outcome || !head) throw new SluiceError('job_not_found', { fields: { job: jobId } });
  if (!stream.opened) {
    stream.end();
    sendOutcome(reply.removeHeader('location'), outcome);
    return true;
  }
  await stream.write(wholeErrorEvent(endpoint, outcome.body.toString(), jobId));
  return true;
}

const tenantOf = (reply: FastifyReply) => reply.request.identity.tenant;
