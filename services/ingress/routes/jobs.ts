import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { endpoints } from '#shared/contracts/endpoint.ts';
import { problemBody } from '#shared/contracts/error-body.ts';
import { type CallAxes, deliveries, jobStates } from '#shared/contracts/job.ts';
import { pageOfJobs } from '#shared/jobs/job-list.ts';
import { type JobObject, jobObject } from '#shared/jobs/job-object.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { KeyAccess } from '#shared/tenants/key-access.ts';
import { acceptJob, joinJob, leaveJob } from '../accept-job.ts';
import type { Submission } from '../admit-call.ts';
import { cacheField, wishOfField } from '../cache/cache-wish.ts';
import { readAxes } from '../call-axes.ts';
import { invalidRequest, readCall } from '../call-body.ts';
import { readDoor, readIdempotencyKey, readPriority, readRunAt } from '../call-options.ts';
import { type TellQuotas, tellBy } from '../call-quotas.ts';
import { cancelJob } from '../cancel-job.ts';
import { checkWebhook } from '../check-webhook.ts';
import type { IngressParts } from '../ingress-parts.ts';
import { awaitReply, refuseTooManyWaiting, sendOutcome } from '../replies/await-reply.ts';
import { readJobObject, sendJob } from '../replies/send-job.ts';
import { knownJobId } from './job-id.ts';

const jobSubmission = z
  .strictObject({
    endpoint: z.enum(endpoints),
    body: z.looseObject({}).describe('The body of that endpoint.'),
    metadata: z
      .record(z.string().max(64), z.string().max(512))
      .refine((metadata) => Object.keys(metadata).length <= 16, 'at most 16 entries')
      .default({}),
    priority: z.union([z.enum(['interactive', 'batch']), z.int().min(0).max(9)]).default('interactive'),
    delivery: z.enum(deliveries).default('retry'),
    deadline_seconds: z.int().min(1).optional().describe('Not started by then: expired, nothing charged.'),
    run_at: z.union([z.string(), z.int()]).optional().describe('RFC 3339, or seconds since the epoch.'),
    webhook: z
      .string()
      .optional()
      .describe('Id of a webhook endpoint, or a URL, that is to hear of the end of this job.'),
    idempotency_key: z.string().optional(),
    cache: cacheField.optional(),
  })
  .meta({ id: 'JobSubmission' });

const jobParams = z.object({ id: z.string() });
const listQuery = z
  .object({
    status: z.enum([...jobStates, 'scheduled']).optional(),
    after: z.string().optional().describe('Id of the last job of the page before.'),
    limit: z.coerce.number().int().min(1).max(100).default(20),
  })
  .catchall(z.string())
  .describe('`metadata.<key>=<value>` keeps jobs with that metadata.');

export const jobList = z
  .object({
    object: z.literal('list'),
    data: z.array(jobObject),
    first_id: z.string().nullable(),
    last_id: z.string().nullable(),
    has_more: z.boolean(),
  })
  .meta({ id: 'JobList' });
/** Records one list request looks through, so that a rare filter cannot scan without bound. */
const listScanMax = 1_000;
/** Entries of an array taken in at the same time: all at once would wait for each other past the command time-out. */
const submittedTogether = 50;
const security = [{ key: [] }];
const tags = ['jobs'];

export function jobRoutes(root: FastifyInstance, parts: IngressParts): void {
  const app = root.withTypeProvider<ZodTypeProvider>();
  const body = z.union([jobSubmission, z.array(jobSubmission)]);
  app.post(
    '/v1/jobs',
    { schema: { tags, security, body }, validatorCompiler: () => (value) => ({ value }) },
    (request, reply) => submitJobs(parts, request, reply),
  );
  app.get('/v1/jobs', { schema: { tags, security, querystring: listQuery } }, async (request) =>
    listJobs(parts, request, request.query),
  );
  app.get('/v1/jobs/:id', { schema: { tags, security, params: jobParams } }, async (request, reply) => {
    await waitIfAsked(parts, request, reply, request.params.id);
    return sendJob(parts, request, reply, 200, request.params.id);
  });
  app.get(
    '/v1/jobs/:id/result',
    { schema: { tags, security, params: jobParams } },
    async (request, reply) => {
      await waitIfAsked(parts, request, reply, request.params.id);
      const outcome = await parts.jobs.outcome(request.identity.tenant, knownJobId(request.params.id));
      return outcome ? sendOutcome(reply, outcome) : sendJob(parts, request, reply, 202, request.params.id);
    },
  );
  app.post(
    '/v1/jobs/:id/cancel',
    { schema: { tags, security, params: jobParams } },
    async (request, reply) => {
      const state = await cancelJob(parts, request.identity.tenant, knownJobId(request.params.id));
      if (state !== 'requested' && state !== 'cancelled') {
        throw new SluiceError('job_already_finished', { fields: { job: request.params.id, state } });
      }
      return sendJob(parts, request, reply, 200, request.params.id);
    },
  );
}

/** Long-polls with `Prefer: wait=N`. */
async function waitIfAsked(
  parts: IngressParts,
  request: FastifyRequest,
  reply: FastifyReply,
  id: string,
): Promise<void> {
  const jobId = knownJobId(id);
  const door = readDoor(request.headers.prefer as string | undefined, parts.settings.jobs.await_max_seconds);
  if (door.waitMs === undefined) return;
  refuseTooManyWaiting(parts);
  const { tenant } = request.identity;
  const awaited = await joinJob(parts, tenant, jobId);
  const end = await awaitReply(parts, reply, awaited, door.waitMs);
  if (end.kind !== 'outcome') await leaveJob(parts, tenant, jobId);
  reply.header('preference-applied', door.applied);
}

async function submitJobs(
  parts: IngressParts,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  if (!Array.isArray(request.body)) {
    const jobId = await submitJob(
      parts,
      callerOf(request),
      request.body,
      request.headers['idempotency-key'] as string | undefined,
      tellBy(reply),
    );
    return sendJob(parts, request, reply, 202, jobId);
  }
  const limit = parts.settings.jobs.submit_max;
  if (request.body.length === 0 || request.body.length > limit) {
    throw new SluiceError('invalid_request', { fields: { reason: `Submit 1 to ${limit} jobs at once.` } });
  }
  const data: Awaited<ReturnType<typeof submitOne>>[] = [];
  for (let from = 0; from < request.body.length; from += submittedTogether) {
    const some = request.body.slice(from, from + submittedTogether);
    data.push(...(await Promise.all(some.map((each) => submitOne(parts, request, each)))));
  }
  return reply.code(202).send({ object: 'list', data });
}

/** One entry of an array: its failure is its own. */
async function submitOne(
  parts: IngressParts,
  request: FastifyRequest,
  body: unknown,
): Promise<{ status: number; job?: JobObject; error?: unknown }> {
  try {
    const jobId = await submitJob(parts, callerOf(request), body, undefined);
    return { status: 202, job: await readJobObject(parts, request, jobId) };
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error;
    return { status: error.entry.status, error: JSON.parse(problemBody(error, request.id)) as unknown };
  }
}

/** On whose behalf a job is submitted. */
export interface Caller {
  tenant: string;
  axes: CallAxes;
  access: KeyAccess;
}

const callerOf = (request: FastifyRequest): Caller => ({
  tenant: request.identity.tenant,
  axes: readAxes(request),
  access: request.access,
});

/** Takes in one submission and returns the id of its job. @throws SluiceError */
export async function submitJob(
  parts: IngressParts,
  caller: Caller,
  body: unknown,
  keyHeader: string | undefined,
  tell?: TellQuotas,
): Promise<string> {
  const parsed = jobSubmission.safeParse(body);
  if (!parsed.success) throw invalidRequest(parsed.error);
  const { endpoint, metadata, delivery, deadline_seconds, run_at } = parsed.data;
  const { tenant } = caller;
  const options = { ...caller, priority: readPriority(String(parsed.data.priority)), delivery };
  const maxSeconds = parts.settings.jobs.deadline_max_seconds;
  if (deadline_seconds !== undefined && deadline_seconds > maxSeconds) {
    throw new SluiceError('invalid_request', {
      fields: { reason: `deadline_seconds: at most ${maxSeconds}` },
      param: 'deadline_seconds',
    });
  }
  const latestMs = parts.clock.nowMs() + (deadline_seconds ?? maxSeconds) * 1_000;
  const fieldKey = readIdempotencyKey(parsed.data.idempotency_key, 'idempotency_key', 'body');
  const read = (call: unknown) => readCall(endpoint, call, parts.router, options, {}, metadata);
  const call = read(parsed.data.body);
  const webhook = await checkWebhook(parts.endpoints, tenant, parsed.data.webhook, 'webhook');
  const submission: Submission = {
    tenant,
    request: { ...call, webhook },
    withModel: (model) => ({ ...read({ ...parsed.data.body, model }), webhook }),
    idempotencyKey: fieldKey ?? readIdempotencyKey(keyHeader),
    deadlineSeconds: deadline_seconds,
    runAtMs: readRunAt(run_at === undefined ? undefined : String(run_at), 'run_at', latestMs, 'body'),
    ...(tell ? { tell } : {}),
    cache: wishOfField(parsed.data.cache),
  };
  return (await acceptJob(parts, submission)).jobId;
}

async function listJobs(
  parts: IngressParts,
  request: FastifyRequest,
  query: z.infer<typeof listQuery>,
): Promise<z.infer<typeof jobList>> {
  const wanted = Object.entries(query)
    .filter(([name]) => name.startsWith('metadata.'))
    .map(([name, value]) => [name.slice('metadata.'.length), String(value)] as const);
  const isWanted = (job: JobObject) =>
    (query.status === undefined || job.status === query.status) &&
    wanted.every(([key, value]) => job.metadata[key] === value);
  const { tenant } = request.identity;
  const found: JobObject[] = [];
  let after = query.after === undefined ? undefined : knownJobId(query.after);
  let more = true;
  for (let scanned = 0; more && found.length <= query.limit && scanned < listScanMax; scanned += 100) {
    const page = await pageOfJobs(parts.redis, tenant, after, 100);
    const jobs = await Promise.all(page.map((jobId) => readJobObject(parts, request, jobId).catch(gone)));
    found.push(...jobs.filter((job) => job !== undefined).filter(isWanted));
    after = page.at(-1);
    more = page.length === 100;
  }
  const data = found.slice(0, query.limit);
  const overfull = found.length > query.limit;
  // When the scan ended at its bound, the next page goes on after the last record looked at.
  const last = overfull || !more ? (data.at(-1)?.id ?? null) : (after ?? null);
  return { object: 'list', data, first_id: data[0]?.id ?? null, last_id: last, has_more: overfull || more };
}

/** A job whose record was dropped after its retention is no longer listed. */
function gone(error: unknown): undefined {
  if (error instanceof SluiceError && error.code === 'job_not_found') return undefined;
  throw error;
}
