import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { type Endpoint, endpoints, modelInPath } from '#shared/contracts/endpoint.ts';
import type { JobRequest } from '#shared/contracts/job.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import { type AcceptedJob, acceptAwaitedJob, acceptFollowedJob, acceptJob } from '../accept-job.ts';
import type { Submission } from '../admit-call.ts';
import { cacheHeaders } from '../cache/cache-headers.ts';
import { readCacheWish } from '../cache/cache-wish.ts';
import { leaveShared, togetherOf } from '../cache/share-job.ts';
import { readAxes } from '../call-axes.ts';
import { readCall } from '../call-body.ts';
import { type CallOptions, readCallOptions, readPassedHeaders } from '../call-options.ts';
import { tellBy, tellStanding } from '../call-quotas.ts';
import { callBodies } from '../call-schemas.ts';
import { cancelJob } from '../cancel-job.ts';
import { checkWebhook } from '../check-webhook.ts';
import type { IngressParts } from '../ingress-parts.ts';
import { awaitReply, refuseTooManyWaiting, sendOutcome } from '../replies/await-reply.ts';
import type { ExtraFields } from '../replies/extra-fields.ts';
import { sendJob } from '../replies/send-job.ts';
import { answerStream } from '../replies/stream-answer.ts';
import { readRuleHeaders } from '../routing/call-facts.ts';
import { readLastEventId } from './events.ts';

/** The drop-in routes: a call held open until its answer is there, or handed over as a job. */
export function callRoutes(app: FastifyInstance, parts: IngressParts): void {
  for (const endpoint of endpoints.filter((each) => !modelInPath(each))) {
    app.withTypeProvider<ZodTypeProvider>().route({
      method: 'POST',
      url: endpoint,
      schema: { tags: ['calls'], body: callBodies[endpoint], security: [{ key: [] }] },
      // readCall validates, so that the error names the parameter and unknown ones survive.
      validatorCompiler: () => (value) => ({ value }),
      handler: (request, reply) => answerCall(parts, endpoint, request, reply, request.body),
    });
  }
}

/** Answers a call through the door that its headers choose. */
export async function answerCall(
  parts: IngressParts,
  endpoint: Endpoint,
  request: FastifyRequest,
  reply: FastifyReply,
  body: unknown,
): Promise<FastifyReply> {
  const options = readCallOptions(request.headers, parts.settings.jobs, parts.clock.nowMs());
  const { tenant } = request.identity;
  const ruleHeaders = readRuleHeaders(request.headers, parts.settings.routing.rule_headers);
  const caller = { ...options, tenant, axes: readAxes(request), ruleHeaders, access: request.access };
  const passed = readPassedHeaders(request.headers);
  const read = (asked: unknown) => readCall(endpoint, asked, parts.router, caller, passed, {});
  const call = read(body);
  const webhook = await checkWebhook(parts.endpoints, tenant, options.webhook, 'x-sluice-webhook');
  const submission: Submission = {
    tenant,
    request: { ...call, webhook },
    idempotencyKey: options.idempotencyKey,
    deadlineSeconds: options.deadlineSeconds,
    runAtMs: options.runAtMs,
    tell: tellBy(reply),
    withModel: (model) => ({ ...read({ ...(body as object), model }), webhook }),
    cache: readCacheWish(request.headers),
  };
  if (call.dropped) reply.header('x-sluice-dropped-params', call.dropped.join(', '));
  if (options.door.applied) reply.header('preference-applied', options.door.applied);
  if (options.door.kind === 'deferred') {
    const accepted = await acceptJob(parts, submission);
    noteAccepted(reply, accepted, submission.request);
    return sendJob(parts, request, reply, 202, accepted.jobId);
  }
  const held = { ...submission, together: togetherOf(parts.settings, submission) };
  if (call.stream) return streamOpen(parts, held, options, request, reply);
  return holdOpen(parts, held, options, request, reply);
}

/** What the answer will say of how its call was taken, whatever it is. */
function noteAccepted(
  reply: FastifyReply,
  { cache, joined, share }: AcceptedJob,
  { outputCap }: JobRequest,
): void {
  if (outputCap !== undefined) reply.header('x-sluice-output-cap', outputCap);
  reply.headers(cacheHeaders(cache));
  if (joined && share) reply.header('x-sluice-coalesced', 'true');
}

async function streamOpen(
  parts: IngressParts,
  submission: Submission,
  options: CallOptions,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  refuseTooManyWaiting(parts);
  const after = readLastEventId(request);
  const { subscription, ...accepted } = await acceptFollowedJob(parts, submission);
  const { jobId, joined } = accepted;
  noteAccepted(reply, accepted, submission.request);
  const { endpoint } = submission.request;
  const waitMs = options.door.waitMs ?? parts.settings.jobs.await_max_seconds * 1_000;
  reply.header('location', `/v1/jobs/${jobId}`).header('x-sluice-job-id', jobId);
  await tellStanding(parts, request, reply);
  const extra = extraFieldsOf(request, submission, options);
  const call = { endpoint, jobId, subscription, after, fresh: !joined, waitMs, extra };
  const end = await answerStream(parts, request, reply, call);
  if (end === 'disconnected') await onDisconnect(parts, submission, options, accepted);
  if (end !== 'unanswered') return reply;
  return handOver(parts, options, request, reply, jobId, waitMs);
}

async function holdOpen(
  parts: IngressParts,
  submission: Submission,
  options: CallOptions,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  refuseTooManyWaiting(parts);
  const { awaited, ...accepted } = await acceptAwaitedJob(parts, submission);
  const { jobId } = accepted;
  noteAccepted(reply, accepted, submission.request);
  const waitMs = options.door.waitMs ?? parts.settings.jobs.await_max_seconds * 1_000;
  // Set before the wait: should it end in an error, the caller still knows where its answer will be.
  reply.header('location', `/v1/jobs/${jobId}`).header('x-sluice-job-id', jobId);
  const end = await awaitReply(parts, reply, awaited, waitMs);
  if (end.kind === 'outcome')
    return sendOutcome(
      reply.removeHeader('location'),
      end.outcome,
      extraFieldsOf(request, submission, options),
    );
  if (end.kind === 'disconnected') {
    await onDisconnect(parts, submission, options, accepted);
    return reply;
  }
  return handOver(parts, options, request, reply, jobId, waitMs);
}

const requestTypes: Record<Endpoint, string> = {
  '/v1/chat/completions': 'chat_completion',
  '/v1/responses': 'responses',
  '/v1/completions': 'text_completion',
  '/v1/embeddings': 'embedding',
  '/v1/messages': 'messages',
  '/v1/messages/count_tokens': 'count_tokens',
  '/v1beta/models/{model}:generateContent': 'chat_completion',
  '/v1beta/models/{model}:embedContent': 'embedding',
  '/v1beta/models/{model}:batchEmbedContents': 'embedding',
  '/v1beta/models/{model}:countTokens': 'count_tokens',
};

/** What is added to an answer for a caller that wants it. */
function extraFieldsOf(
  { body, identity }: FastifyRequest,
  { request: { endpoint, model } }: Submission,
  { extraFields }: CallOptions,
): ExtraFields | undefined {
  if (!extraFields) return undefined;
  // Where the path names the model, the body does not.
  const modelRequested = (body as { model?: string } | undefined)?.model ?? model;
  return { modelRequested, requestType: requestTypes[endpoint], keyId: identity.keyId };
}

/** A caller that named its patience is handed over; one that did not would take a 202 for an answer. */
function handOver(
  parts: IngressParts,
  options: CallOptions,
  request: FastifyRequest,
  reply: FastifyReply,
  jobId: string,
  waitMs: number,
): Promise<FastifyReply> {
  if (options.door.waitMs !== undefined) return sendJob(parts, request, reply, 202, jobId);
  throw new SluiceError('await_timeout', { fields: { seconds: Math.round(waitMs / 1_000), job: jobId } });
}

/**
 * A caller that hung up no longer wants its answer: the job is cancelled, unless it asked otherwise, may ask again
 * (Idempotency-Key), or somebody else awaits the same job.
 */
async function onDisconnect(
  parts: IngressParts,
  { tenant, idempotencyKey }: Submission,
  options: CallOptions,
  { jobId, joined, share }: AcceptedJob,
): Promise<void> {
  if (options.continueOnDisconnect || idempotencyKey !== undefined) return;
  try {
    if ((share && (await leaveShared(parts, tenant, jobId, share))) || joined) return;
    if (parts.waiter.isAwaited(jobId) || parts.feed.isFollowed(jobId)) return;
    if ((await parts.jobs.leave(tenant, jobId, parts.ingressId)) === 0) await cancelJob(parts, tenant, jobId);
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error;
    parts.log.warn({ job: jobId, code: error.code }, 'caller hung up; its job could not be cancelled');
  }
}
