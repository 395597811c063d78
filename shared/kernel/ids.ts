import { randomBytes } from 'node:crypto';

const idBytes = 16;

/**
 * A new public id: the prefix, an underscore and 128 random bits in hexadecimal. Ids are never sequential, so one
 * tenant cannot guess another's.
 */
export function newId(prefix: 'job' | 'attempt' | 'ingress' | 'worker' | 'req'): string {
  return `${prefix}_${randomBytes(idBytes).toString('hex')}`;
}

const jobIdPattern = /^job_[0-9a-f]{32}$/;

/** Whether `text` has the form of a job id (it need not exist). */
export function isJobId(text: string): boolean {
  return jobIdPattern.test(text);
}
