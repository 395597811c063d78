import { randomFillSync } from 'node:crypto';

const idBytes = 16;
/** Random bytes are drawn many at a time: a draw costs as much as an id. */
const pool = Buffer.alloc(idBytes * 256);
let used = pool.length;

/**
 * A new public id: the prefix, an underscore and 128 random bits in hexadecimal. Ids are never sequential, so one
 * tenant cannot guess another's.
 */
export function newId(
  prefix: 'job' | 'attempt' | 'ingress' | 'worker' | 'req' | 'file' | 'batch' | 'msg' | 'we' | 'admin',
): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += idBytes;
  return `${prefix}_${pool.toString('hex', used - idBytes, used)}`;
}

const idPatterns = {
  job: /^job_[0-9a-f]{32}$/,
  file: /^file_[0-9a-f]{32}$/,
  batch: /^batch_[0-9a-f]{32}$/,
} as const;

/** Whether `text` has the form of an id of that kind (it need not exist). */
export function isId(kind: keyof typeof idPatterns, text: string): boolean {
  return idPatterns[kind].test(text);
}

/** Whether `text` has the form of a job id (it need not exist). */
export function isJobId(text: string): boolean {
  return isId('job', text);
}
