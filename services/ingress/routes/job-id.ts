import { SluiceError } from '#shared/kernel/errors.ts';
import { isJobId } from '#shared/kernel/ids.ts';

/** @throws SluiceError job_not_found for what cannot be an id, so that no stranger's text becomes part of a key */
export function knownJobId(id: string): string {
  if (!isJobId(id)) throw new SluiceError('job_not_found', { fields: { job: id }, param: 'id' });
  return id;
}
