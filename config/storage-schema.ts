import { z } from 'zod';
import { count, milliseconds, seconds } from './setting-types.ts';

const daySeconds = 86_400;
const gigabyte = 1_073_741_824;

const s3Schema = z
  .strictObject({
    bucket: z.string().default('').describe('Bucket of the blobs; must exist.'),
    region: z.string().default('us-east-1').describe('Region of the bucket.'),
    endpoint: z.url().optional().describe('Address of an S3-compatible store. Unset: AWS.'),
    path_style: z
      .boolean()
      .default(false)
      .describe(
        'Whether the bucket stands in the path instead of the host name, as MinIO and others want it.',
      ),
    access_key_id: z
      .string()
      .optional()
      .describe('Unset: the usual AWS credential chain (environment, profile, instance role).'),
    secret_access_key: z.string().optional().describe('Secret that belongs to `access_key_id`.'),
    prefix: z.string().max(200).default('').describe('Put before the name of every object.'),
    connect_timeout_ms: milliseconds(5_000, 50, 60_000, 'Longest wait for a connection to the store.'),
    answer_timeout_ms: milliseconds(
      30_000,
      50,
      600_000,
      'Longest wait for the answer to a request, and for each further piece of it.',
    ),
  })
  .prefault({});

/** Where files, outputs of batches and large payloads lie. */
export const blobsSchema = z
  .strictObject({
    store: z
      .enum(['disk', 's3'])
      .default('disk')
      .describe(
        'Where files and large payloads lie. `disk` serves one machine, or several that mount the same folder.',
      ),
    dir: z.string().optional().describe('Folder of the blobs. Unset: `blobs` in `redis.data_dir`.'),
    s3: s3Schema,
  })
  .refine(({ store, s3 }) => store === 'disk' || s3.bucket !== '', {
    path: ['s3', 'bucket'],
    error: 'must name a bucket when blobs.store is s3',
  })
  .prefault({});

/** Bodies of calls and answers that lie in the blob store instead of in the record of their job. */
export const payloadsSchema = z
  .strictObject({
    inline_max_bytes: count(
      262_144,
      1_024,
      67_108_864,
      'Largest body of a call or an answer that lies in Redis; a larger one lies in the blob store, which all processes must share then.',
    ),
    fallback_max_bytes: count(
      33_554_432,
      0,
      268_435_456,
      'Largest answer that goes into Redis all the same when the blob store is away as its job ends; a larger one waits for the store, up to `workers.settle_retry_max_ms`.',
    ),
    store_wait_ms: milliseconds(
      5_000,
      10,
      60_000,
      'How long a worker asks a blob store that is away again before it gives a call back unsent, or puts its answer into Redis.',
    ),
  })
  .prefault({});

/** Files that tenants upload, and those that their batches write. */
export const filesSchema = z
  .strictObject({
    max_bytes: count(209_715_200, 1_024, 8 * gigabyte, 'Largest file a tenant may upload, in bytes.'),
    lines_max: count(50_000, 1, 10_000_000, 'Most lines of a file for a batch.'),
    tenant_max_bytes: count(
      20 * gigabyte,
      1_024,
      100_000 * gigabyte,
      'Bytes of files a tenant may keep; outputs of its batches count, but are never refused.',
    ),
    uploads_max: count(32, 1, 1_000, 'Uploads one ingress process takes at once; more are refused with 503.'),
    upload_timeout_ms: milliseconds(900_000, 1_000, 86_400_000, 'How long one upload may take.'),
    retention_seconds: seconds(
      30 * daySeconds,
      60,
      365 * daySeconds,
      'How long a file is kept unless it says otherwise (`expires_after`).',
    ),
    sweep_ms: milliseconds(
      60_000,
      50,
      3_600_000,
      'How often expired files and blobs that no record names are looked for.',
    ),
    sweep_batch: count(1_000, 1, 100_000, 'Files and blobs one sweep looks at per tenant.'),
    orphan_seconds: seconds(
      2 * 3_600,
      1,
      30 * daySeconds,
      'Age at which a blob that no record names is removed; longer than any upload takes, and than `workers.settle_retry_max_ms`.',
    ),
  })
  .prefault({});
