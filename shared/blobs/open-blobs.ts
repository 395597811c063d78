import { join } from 'node:path';
import type { Settings } from '#config/schema.ts';
import type { BlobStore } from './blob-store.ts';
import { DiskBlobs } from './disk-blobs.ts';

/** The blob store that the configuration names. */
export async function openBlobs({ blobs, redis }: Pick<Settings, 'blobs' | 'redis'>): Promise<BlobStore> {
  if (blobs.store === 'disk') return new DiskBlobs(blobs.dir ?? join(redis.data_dir, 'blobs'));
  const { S3Blobs } = await import('./s3-blobs.ts');
  return S3Blobs.open(blobs.s3);
}
