import { badRequest, type CatalogEntry, upstream } from './error-families.ts';

/** How a job may end, or have its end told, without an answer of a provider that can be passed on. */
export const jobErrors = {
  cancelled: {
    status: 409,
    type: 'invalid_request_error',
    anthropicType: 'invalid_request_error',
    retryable: false,
    sentence: 'The job was cancelled before it finished.',
  },
  expired: {
    status: 504,
    type: 'server_error',
    anthropicType: 'timeout_error',
    retryable: false,
    sentence: 'The job did not start before its deadline; nothing was charged.',
  },
  no_target: {
    ...badRequest,
    sentence: 'No target of {model} can take this call: {reason}.',
  },
  route_rejected: {
    ...badRequest,
    status: 403,
    anthropicType: 'permission_error',
    sentence: 'The route {route} does not take this call: {reason}.',
  },
  provider_broken_answer: {
    ...upstream,
    sentence: 'The provider sent an answer that is not what was asked for: {reason}.',
  },
  route_timeout: {
    status: 504,
    type: 'server_error',
    anthropicType: 'timeout_error',
    retryable: false,
    sentence: 'The call did not finish within the {limit} ms that its route allows.',
  },
  pool_removed: {
    ...badRequest,
    status: 410,
    anthropicType: 'not_found_error',
    sentence: 'The pool {pool} was taken out of the configuration before the call had an answer.',
  },
  outcome_unknown: {
    status: 502,
    type: 'server_error',
    anthropicType: 'api_error',
    retryable: false,
    sentence: 'The worker that ran this call was lost, and at_most_once forbids asking the provider again.',
  },
  worker_crashed: {
    ...upstream,
    retryable: false,
    sentence: 'Workers were lost {crashes} times while running this call; it will not be tried again.',
  },
  provider_stream_cut: {
    ...upstream,
    sentence: 'The stream of the provider broke off before the answer was whole: {reason}.',
  },
  stream_restarted: {
    ...upstream,
    status: 409,
    sentence:
      'The attempt that streamed this answer was lost, and the job {job} started anew. Read its stream from the start, or send the call again with the same Idempotency-Key.',
  },
  provider_unreachable: { ...upstream, sentence: 'The provider could not be reached: {reason}.' },
  provider_timeout: {
    ...upstream,
    status: 504,
    anthropicType: 'timeout_error',
    sentence: 'The provider did not answer in time: {reason}.',
  },
  provider_invalid_response: {
    ...upstream,
    sentence: 'The provider sent an answer that is not valid: {reason}.',
  },
} as const satisfies Record<string, CatalogEntry>;
