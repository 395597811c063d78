import { endpointDialect } from '#shared/contracts/endpoint.ts';
import { errorBody } from '#shared/contracts/error-body.ts';
import type { JobRequest, TerminalState } from '#shared/contracts/job.ts';
import type { SluiceError } from '#shared/kernel/errors.ts';
import type { Settlement } from './job-store.ts';

/** The settlement of a job that ends with an error of ours, in the shape of the route it came in by. */
export function errorSettlement(
  job: {
    tenant: string;
    jobId: string;
    provider: string;
    model: string;
    endpoint: JobRequest['endpoint'];
    attempts: number;
    queueMs: number;
    providerMs: number;
  },
  state: TerminalState,
  error: SluiceError,
): Settlement {
  const { tenant, jobId, provider, model, attempts, queueMs, providerMs } = job;
  const head = {
    job: jobId,
    state,
    provider,
    model,
    attempts,
    queueMs,
    providerMs,
    status: error.entry.status,
    contentType: 'application/json',
    headers: {},
    error: error.code,
  };
  const body = Buffer.from(errorBody(endpointDialect[job.endpoint], error, jobId));
  return { tenant, state, head, body, usage: undefined, attempt: undefined };
}
