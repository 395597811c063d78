import { Readable } from 'node:stream';
import multipart from '@fastify/multipart';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { type FileRecord, filePurposes } from '#shared/batches/file-store.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import { isId } from '#shared/kernel/ids.ts';
import { readFile, removeBytes } from '../batches/file-bytes.ts';
import { fileObject, toFileObject } from '../file-object.ts';
import type { IngressParts } from '../ingress-parts.ts';
import { takeUpload } from '../take-upload.ts';

const fileParams = z.object({ id: z.string() });
/** Files in one page, however many are asked for. */
const pageMax = 1_000;
/** Pages of records one request looks through for a rare purpose. */
const listPagesMax = 20;
const listQuery = z.object({
  purpose: z.enum(filePurposes).optional(),
  after: z.string().optional().describe('Id of the last file of the page before.'),
  limit: z.coerce.number().int().min(1).max(10_000).default(pageMax),
  order: z.enum(['asc', 'desc']).default('desc'),
});
export const fileList = z
  .object({
    object: z.literal('list'),
    data: z.array(fileObject),
    first_id: z.string().nullable(),
    last_id: z.string().nullable(),
    has_more: z.boolean(),
  })
  .meta({ id: 'FileList' });
export const deletedFile = z.object({ id: z.string(), object: z.literal('file'), deleted: z.literal(true) });
const security = [{ key: [] }];
const tags = ['files'];

/** OpenAI's files, for batches. */
export async function fileRoutes(root: FastifyInstance, parts: IngressParts): Promise<void> {
  await root.register(multipart, { throwFileSizeLimit: false });
  const app = root.withTypeProvider<ZodTypeProvider>();
  let uploads = 0;
  const receiveMs = parts.settings.files.upload_timeout_ms;
  app.post(
    '/v1/files',
    { schema: { tags, security, consumes: ['multipart/form-data'] }, config: { receiveMs } },
    async (request) => {
      const limit = parts.settings.files.uploads_max;
      if (uploads >= limit)
        throw new SluiceError('too_many_uploads', { fields: { limit }, retryAfterMs: 5_000 });
      uploads++;
      try {
        return toFileObject(await takeUpload(parts, request));
      } finally {
        uploads--;
        // What is left of a refused upload is read and dropped, so that its sender gets to read the refusal.
        request.raw.resume();
      }
    },
  );
  app.get('/v1/files', { schema: { tags, security, querystring: listQuery } }, (request) =>
    listFiles(parts, request.identity.tenant, request.query),
  );
  app.get('/v1/files/:id', { schema: { tags, security, params: fileParams } }, async (request) =>
    toFileObject(await knownFile(parts, request)),
  );
  app.get(
    '/v1/files/:id/content',
    { schema: { tags, security, params: fileParams } },
    async (request, reply) => {
      const file = await knownFile(parts, request);
      const bytes = await readFile(parts, file);
      if (!bytes) throw notFound(file.id);
      return reply
        .type('application/octet-stream')
        .header('content-length', file.bytes)
        .send(Readable.from(bytes, { objectMode: false }));
    },
  );
  app.delete('/v1/files/:id', { schema: { tags, security, params: fileParams } }, async (request) => {
    const file = await knownFile(parts, request);
    const { id, tenant } = file;
    const answer = await parts.files.drop(tenant, id, false);
    if (answer === 'held') throw new SluiceError('file_in_use', { fields: { file: id } });
    if (answer === 'gone') throw notFound(id);
    await removeBytes(parts, file);
    return { id, object: 'file', deleted: true };
  });
}

const notFound = (id: string) => new SluiceError('file_not_found', { fields: { file: id }, param: 'id' });

/** @throws SluiceError file_not_found, also for a file of another tenant and for what cannot be an id */
async function knownFile({ files }: IngressParts, request: FastifyRequest): Promise<FileRecord> {
  const { id } = request.params as z.infer<typeof fileParams>;
  const file = isId('file', id) ? await files.view(request.identity.tenant, id) : undefined;
  if (!file) throw notFound(id);
  return file;
}

async function listFiles(
  { files }: IngressParts,
  tenant: string,
  { purpose, after, limit, order }: z.infer<typeof listQuery>,
): Promise<z.infer<typeof fileList>> {
  if (after !== undefined && !isId('file', after)) throw notFound(after);
  const wanted = Math.min(limit, pageMax);
  const found: FileRecord[] = [];
  let cursor = after;
  let more = true;
  for (let pages = 0; more && found.length <= wanted && pages < listPagesMax; pages++) {
    const page = await files.list(tenant, cursor, pageMax, order);
    const records = await Promise.all(page.map((id) => files.view(tenant, id)));
    found.push(
      ...records.filter((file) => file !== undefined).filter((file) => !purpose || file.purpose === purpose),
    );
    more = page.length === pageMax;
    cursor = page.at(-1);
  }
  const data = found.slice(0, wanted).map(toFileObject);
  const overfull = found.length > wanted;
  const last = overfull || !more ? (data.at(-1)?.id ?? null) : (cursor ?? null);
  return { object: 'list', data, first_id: data[0]?.id ?? null, last_id: last, has_more: overfull || more };
}
