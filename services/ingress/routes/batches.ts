import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { batchObject, toBatchObject } from '#shared/batches/batch-object.ts';
import type { BatchRecord } from '#shared/batches/batch-record.ts';
import { endpoints } from '#shared/contracts/endpoint.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import { isId, newId } from '#shared/kernel/ids.ts';
import { readPieces } from '../batches/pieces.ts';
import { readAxes } from '../call-axes.ts';
import { invalidRequest } from '../call-body.ts';
import type { IngressParts } from '../ingress-parts.ts';

const batchParams = z.object({ id: z.string() });
const minuteMs = 60_000;
const unitMs: Record<string, number> = { m: minuteMs, h: 60 * minuteMs, d: 24 * 60 * minuteMs };
const windowMinMs = 15 * minuteMs;
const windowMaxMs = 7 * 24 * 60 * minuteMs;

/** `24h`, `15m`, `7d`; undefined when it is none, or too short or too long. */
function windowMsOf(window: string): number | undefined {
  const [, amount, unit] = /^(\d{1,5})([mhd])$/.exec(window) ?? [];
  const ms = Number(amount) * (unitMs[unit ?? ''] ?? Number.NaN);
  return ms >= windowMinMs && ms <= windowMaxMs ? ms : undefined;
}

const batchSubmission = z
  .looseObject({
    input_file_id: z.string(),
    endpoint: z.enum(endpoints),
    completion_window: z
      .string()
      .refine((window) => windowMsOf(window) !== undefined, 'from 15m to 7d, such as 24h')
      .describe('OpenAI knows 24h; here anything from 15m to 7d.'),
    metadata: z
      .record(z.string().max(64), z.string().max(512))
      .refine((metadata) => Object.keys(metadata).length <= 16, 'at most 16 entries')
      .nullish(),
    output_expires_after: z
      .object({ anchor: z.literal('created_at'), seconds: z.int().min(3_600).max(2_592_000) })
      .nullish(),
  })
  .meta({ id: 'BatchSubmission' });

const listQuery = z.object({
  after: z.string().optional().describe('Id of the last batch of the page before.'),
  limit: z.coerce.number().int().min(1).max(100).default(20),
});
const outputQuery = z.object({
  after: z.coerce
    .number()
    .int()
    .min(0)
    .default(0)
    .describe('Where to go on: the x-sluice-output-after of the answer before.'),
  stream: z.enum(['output', 'errors']).default('output').describe('Results, or lines that failed.'),
});
export const batchList = z
  .object({
    object: z.literal('list'),
    data: z.array(batchObject),
    first_id: z.string().nullable(),
    last_id: z.string().nullable(),
    has_more: z.boolean(),
  })
  .meta({ id: 'BatchList' });
const security = [{ key: [] }];
const tags = ['batches'];
const tooManyRetryMs = 60_000;

/** OpenAI's batches, for every provider and model that Sluice serves. */
export function batchRoutes(root: FastifyInstance, parts: IngressParts): void {
  const app = root.withTypeProvider<ZodTypeProvider>();
  app.post(
    '/v1/batches',
    { schema: { tags, security, body: batchSubmission }, validatorCompiler: () => (value) => ({ value }) },
    (request) => createBatch(parts, request),
  );
  app.get('/v1/batches', { schema: { tags, security, querystring: listQuery } }, (request) =>
    listBatches(parts, request.identity.tenant, request.query),
  );
  app.get('/v1/batches/:id', { schema: { tags, security, params: batchParams } }, async (request) =>
    toBatchObject(await knownBatch(parts, request), parts.clock.nowMs()),
  );
  app.post('/v1/batches/:id/cancel', { schema: { tags, security, params: batchParams } }, async (request) => {
    const { id, tenant } = await knownBatch(parts, request);
    const { kind, status } = await parts.batches.cancel(tenant, id);
    if (kind === 'ended') throw new SluiceError('batch_already_ended', { fields: { batch: id, status } });
    return toBatchObject(await knownBatch(parts, request), parts.clock.nowMs());
  });
  app.get(
    '/v1/batches/:id/output',
    { schema: { tags, security, params: batchParams, querystring: outputQuery } },
    async (request, reply) => sendOutput(parts, await knownBatch(parts, request), request.query, reply),
  );
}

const notFound = (id: string) => new SluiceError('batch_not_found', { fields: { batch: id }, param: 'id' });

/** @throws SluiceError batch_not_found, also for a batch of another tenant and for what cannot be an id */
async function knownBatch({ batches }: IngressParts, request: FastifyRequest): Promise<BatchRecord> {
  const { id } = request.params as z.infer<typeof batchParams>;
  const batch = isId('batch', id) ? await batches.view(request.identity.tenant, id) : undefined;
  if (!batch) throw notFound(id);
  return batch;
}

async function createBatch(
  { settings, batches, files, clock, storeGuard }: IngressParts,
  request: FastifyRequest,
): Promise<z.infer<typeof batchObject>> {
  const parsed = batchSubmission.safeParse(request.body);
  if (!parsed.success) throw invalidRequest(parsed.error);
  const { input_file_id, endpoint, completion_window, metadata, output_expires_after } = parsed.data;
  const { tenant } = request.identity;
  storeGuard.refuseWhenFull();
  const file = isId('file', input_file_id) ? await files.view(tenant, input_file_id) : undefined;
  const noFile = () =>
    new SluiceError('file_not_found', { fields: { file: input_file_id }, param: 'input_file_id' });
  if (!file) throw noFile();
  if (file.purpose !== 'batch')
    throw new SluiceError('invalid_request', {
      fields: { reason: 'The input file must have the purpose batch.' },
      param: 'input_file_id',
    });
  const id = newId('batch');
  const openMax = settings.batches.open_max;
  const { kind, detail } = await batches.make({
    id,
    tenant,
    inputFileId: file.id,
    endpoint,
    completionWindow: completion_window,
    windowMs: windowMsOf(completion_window)!,
    metadata: metadata ?? null,
    axes: readAxes(request),
    outputSeconds: output_expires_after?.seconds,
    openMax,
  });
  if (kind === 'no_file') throw noFile();
  if (kind === 'too_many')
    throw new SluiceError('too_many_batches', {
      fields: { axis: 'batches', current: detail, limit: openMax },
      retryAfterMs: tooManyRetryMs,
    });
  return toBatchObject((await batches.view(tenant, id))!, clock.nowMs());
}

async function listBatches(
  { batches, clock }: IngressParts,
  tenant: string,
  { after, limit }: z.infer<typeof listQuery>,
): Promise<z.infer<typeof batchList>> {
  if (after !== undefined && !isId('batch', after)) throw notFound(after);
  const ids = await batches.list(tenant, after, limit + 1);
  const records = await Promise.all(ids.map((id) => batches.view(tenant, id)));
  // A batch whose record was dropped after its retention is no longer listed.
  const gone = ids.filter((_id, index) => !records[index]);
  await Promise.all(gone.map((id) => batches.forget(tenant, id)));
  const found = records.filter((batch) => batch !== undefined);
  const data = found.slice(0, limit).map((batch) => toBatchObject(batch, clock.nowMs()));
  return {
    object: 'list',
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: found.length > limit || ids.length > found.length,
  };
}

/** What is there by now, as whole lines; the same bytes in the same order as the file at the end. */
function sendOutput(
  parts: IngressParts,
  batch: BatchRecord,
  { after, stream }: z.infer<typeof outputQuery>,
  reply: FastifyReply,
): FastifyReply {
  const to = stream === 'output' ? batch.outputBytes : batch.errorBytes;
  const from = Math.min(after, to);
  const bytes = readPieces(parts, batch.tenant, batch.id, stream, { from, to });
  return reply
    .type('application/jsonl')
    .headers({
      'content-length': to - from,
      'x-sluice-output-after': to,
      'x-sluice-batch-status': batch.status,
    })
    .send(Readable.from(bytes, { objectMode: false }));
}
