import type { MultipartFile, MultipartValue } from '@fastify/multipart';
import type { FastifyRequest } from 'fastify';
import type { FileRecord } from '#shared/batches/file-store.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import { newId } from '#shared/kernel/ids.ts';
import type { IngressParts } from './ingress-parts.ts';

/** What a form may hold besides its file; anything larger is no upload for us. */
const formLimits = { files: 1, fields: 8, parts: 9, fieldSize: 1_024, fieldNameSize: 64, headerPairs: 16 };
const filenameMax = 255;
const newline = 0x0a;
/** OpenAI's bounds of `expires_after.seconds`. */
const expiresMin = 3_600;
const expiresMax = 2_592_000;

const invalid = (reason: string, param?: string) =>
  new SluiceError('invalid_upload', { fields: { reason }, ...(param ? { param } : {}) });

/** How a caller asks for its file to be kept. @throws SluiceError invalid_upload */
function readForm(fields: ReadonlyMap<string, string>, presetSeconds: number): number {
  const purpose = fields.get('purpose');
  if (purpose !== 'batch') throw invalid('purpose must be batch', 'purpose');
  const asked = fields.get('expires_after[seconds]');
  const anchor = fields.get('expires_after[anchor]');
  if (asked === undefined && anchor === undefined) return presetSeconds;
  const seconds = /^\d{1,8}$/.test(asked ?? '') ? Number(asked) : 0;
  if (anchor !== 'created_at') throw invalid('expires_after.anchor must be created_at', 'expires_after');
  if (seconds < expiresMin || seconds > expiresMax)
    throw invalid(`expires_after.seconds must be from ${expiresMin} to ${expiresMax}`, 'expires_after');
  return seconds;
}

/** Passes a file on while it has no more lines than a batch may have. */
async function* countLines(
  chunks: AsyncIterable<Uint8Array>,
  linesMax: number,
): AsyncGenerator<Uint8Array, void> {
  let lines = 0;
  for await (const chunk of chunks) {
    for (let at = chunk.indexOf(newline); at !== -1; at = chunk.indexOf(newline, at + 1)) lines++;
    if (lines > linesMax) throw new SluiceError('too_many_lines', { fields: { limit: linesMax } });
    yield chunk;
  }
}

/**
 * Takes one multipart upload: its file goes to the blob store piece by piece as it comes, never whole into memory.
 * The record comes last, so that a file that is known is there; what an upload that broke off leaves behind is removed.
 */
export async function takeUpload(parts: IngressParts, request: FastifyRequest): Promise<FileRecord> {
  const { settings, files, blobs } = parts;
  const { tenant } = request.identity;
  const roomBytes = await roomOf(parts, tenant);
  const id = newId('file');
  const ref = { tenant, kind: 'files', name: id } as const;
  const fields = new Map<string, string>();
  let stored: { bytes: number; filename: string } | undefined;
  try {
    for await (const part of formParts(request)) {
      if (part.type === 'field') fields.set(part.fieldname, String(part.value));
      else if (part.fieldname !== 'file') throw invalid('the file must be in the field "file"', 'file');
      else {
        const chunks = countLines(part.file, settings.files.lines_max);
        const bytes = await blobs.put(ref, chunks, Math.min(settings.files.max_bytes, roomBytes));
        stored = { bytes, filename: part.filename.slice(0, filenameMax) };
      }
    }
    if (!stored) throw invalid('it has no field "file" with a file', 'file');
    const expiresSeconds = readForm(fields, settings.files.retention_seconds);
    const file = { id, tenant, purpose: 'batch', writtenBy: undefined, ...stored } as const;
    const bytesMax = settings.files.tenant_max_bytes;
    const kept = await files.keep({ ...file, expiresSeconds, bytesMax });
    if (kept.kind === 'full') throw storageFull(kept.used, bytesMax);
    return { ...file, createdMs: kept.createdMs, expiresMs: kept.createdMs + expiresSeconds * 1_000 };
  } catch (error) {
    // Should the store have been away just now, the record may exist; then its bytes must stay.
    if (stored && !mayBeKept(error)) await blobs.remove(ref).catch(() => undefined);
    throw readable(error);
  }
}

const mayBeKept = (error: unknown) => error instanceof SluiceError && error.code === 'store_unavailable';
const storageFull = (used: number, limit: number) =>
  new SluiceError('storage_full', { fields: { used, limit } });

/** Bytes the tenant may still store. @throws SluiceError storage_full */
async function roomOf({ settings, files }: IngressParts, tenant: string): Promise<number> {
  const limit = settings.files.tenant_max_bytes;
  const used = await files.bytesUsed(tenant);
  if (used >= limit) throw storageFull(used, limit);
  return limit - used;
}

function formParts(request: FastifyRequest): AsyncIterableIterator<MultipartFile | MultipartValue> {
  if (!request.isMultipart()) throw new SluiceError('invalid_upload', { fields: { reason: 'send a form' } });
  // The size is bounded where the bytes are written; the library would end the file early and say nothing.
  return request.parts({ limits: { ...formLimits, fileSize: Number.MAX_SAFE_INTEGER } });
}

/** Errors of the form parser are the caller's. */
function readable(error: unknown): unknown {
  if (error instanceof SluiceError) return error;
  const { code, message } = error as { code?: string; message: string };
  const ofForm =
    code?.startsWith('FST_') || /multipart|terminated early|malformed|Boundary|aborted/i.test(message);
  return ofForm ? invalid('the form is broken off, malformed, or has too many parts') : error;
}
