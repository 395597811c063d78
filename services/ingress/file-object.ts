import { z } from 'zod';
import { type FileRecord, filePurposes } from '#shared/batches/file-store.ts';

/** The file object of OpenAI's API. */
export const fileObject = z
  .object({
    id: z.string(),
    object: z.literal('file'),
    bytes: z.int(),
    created_at: z.int().describe('Seconds since the epoch.'),
    expires_at: z.int().describe('Seconds since the epoch.'),
    filename: z.string(),
    purpose: z.enum(filePurposes),
    status: z.literal('processed'),
  })
  .meta({ id: 'File' });

export type FileObject = z.infer<typeof fileObject>;

export function toFileObject(file: FileRecord): FileObject {
  return {
    id: file.id,
    object: 'file',
    bytes: file.bytes,
    created_at: Math.floor(file.createdMs / 1_000),
    expires_at: Math.floor(file.expiresMs / 1_000),
    filename: file.filename,
    purpose: file.purpose,
    status: 'processed',
  };
}
