import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { type EventPlace, eventId, type JobEvent, readEventId } from '#shared/contracts/job-events.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import { followJob, leaveJob } from '../accept-job.ts';
import { tellStanding } from '../call-quotas.ts';
import type { IngressParts } from '../ingress-parts.ts';
import { eventName, eventOf } from '../job-event.ts';
import { refuseTooManyWaiting } from '../replies/await-reply.ts';
import { eventStreamOf } from '../replies/stream-answer.ts';
import { knownJobId } from './job-id.ts';

const params = z.object({ id: z.string() });

/** `GET /v1/jobs/{id}/events`: everything that happens to a job, as server-sent events that can be resumed anywhere. */
export function eventRoutes(root: FastifyInstance, parts: IngressParts): void {
  root
    .withTypeProvider<ZodTypeProvider>()
    .get(
      '/v1/jobs/:id/events',
      { schema: { tags: ['jobs'], security: [{ key: [] }], params } },
      (request, reply) => sendEvents(parts, request, reply, knownJobId(request.params.id)),
    );
}

/** Where a reader that comes back was. @throws SluiceError invalid_header */
export function readLastEventId(request: FastifyRequest): EventPlace | undefined {
  const id = request.headers['last-event-id'];
  if (id === undefined || id === '') return undefined;
  const place = typeof id === 'string' ? readEventId(id) : undefined;
  if (place) return place;
  const fields = { header: 'last-event-id', reason: 'it is not the id of an event sent here' };
  throw new SluiceError('invalid_header', { fields, param: 'last-event-id' });
}

async function sendEvents(
  parts: IngressParts,
  request: FastifyRequest,
  reply: FastifyReply,
  jobId: string,
): Promise<FastifyReply> {
  refuseTooManyWaiting(parts);
  const after = readLastEventId(request);
  const { tenant } = request.identity;
  const subscription = await followJob(parts, tenant, jobId);
  await tellStanding(parts, request, reply);
  const stream = eventStreamOf(parts, request, reply.header('x-sluice-job-id', jobId), jobId);
  const hangUp = () => subscription.close();
  reply.raw.once('close', hangUp);
  try {
    for await (const event of subscription.events(after))
      if (!(await stream.write(eventText(jobId, event)))) break;
    // To an EventSource that has everything 204 says that it need not come back.
    if (!stream.opened && !reply.raw.destroyed) reply.code(204).send();
  } catch (error) {
    if (!stream.opened || !(error instanceof SluiceError)) throw error;
    const { code, message } = error;
    await stream.write(`event: error\ndata: ${JSON.stringify({ job: jobId, code, message })}\n\n`);
  } finally {
    reply.raw.off('close', hangUp);
    subscription.close();
    stream.end();
    await leaveJob(parts, tenant, jobId);
  }
  return reply;
}

function eventText(jobId: string, event: JobEvent): string {
  const data = JSON.stringify(eventOf(jobId, event));
  return `event: ${eventName(event)}\nid: ${eventId(event.place)}\ndata: ${data}\n\n`;
}
