import {
  badRequest,
  type CatalogEntry,
  forbidden,
  notFound,
  rateLimited,
  unauthorized,
  unavailable,
} from './error-families.ts';
import { jobErrors } from './job-errors.ts';

/** Every error of Sluice, once. Nothing internal is written here: the sentences go to callers. */
export const errorCatalog = {
  invalid_json: { ...badRequest, sentence: 'The request body is not valid JSON: {reason}.' },
  invalid_encoding: { ...badRequest, sentence: 'The request body is not valid UTF-8.' },
  body_too_deep: { ...badRequest, sentence: 'The request body is nested deeper than {limit} levels.' },
  forbidden_property: {
    ...badRequest,
    sentence: 'The request body must not contain the property {property}.',
  },
  invalid_request: { ...badRequest, sentence: '{reason}' },
  not_translatable: {
    ...badRequest,
    sentence: 'The parameter {param} cannot be translated for the provider of this model: {reason}.',
  },
  invalid_header: { ...badRequest, sentence: 'The header {header} is not valid: {reason}.' },
  body_too_large: {
    ...badRequest,
    status: 413,
    anthropicType: 'request_too_large',
    sentence: 'The request body is larger than {limit} bytes.',
  },
  unsupported_media_type: { ...badRequest, status: 415, sentence: 'Send the body as application/json.' },
  streaming_not_supported: {
    ...badRequest,
    sentence: 'This route does not stream; send the call without "stream": true.',
  },
  missing_key: {
    ...unauthorized,
    sentence: 'No API key was given. Send it as "Authorization: Bearer <key>" or "x-api-key: <key>".',
  },
  invalid_key: {
    ...unauthorized,
    sentence: 'The API key is not known here.',
  },
  invalid_ticket: {
    ...unauthorized,
    sentence: 'The ticket is not known here: it has expired, or was used before.',
  },
  key_revoked: {
    ...unauthorized,
    sentence: 'The API key was revoked.',
  },
  key_expired: {
    ...unauthorized,
    sentence: 'The API key has expired.',
  },
  ip_blocked: {
    ...forbidden,
    sentence: 'This API key may not be used from {address}.',
  },
  wrong_scope: {
    ...forbidden,
    sentence: 'This API key may not be used for {scope}.',
  },
  provider_blocked: {
    ...forbidden,
    sentence: 'This API key may not call the provider {provider}.',
  },
  model_blocked: {
    ...forbidden,
    sentence: 'This API key may not call the model {model} of {provider}.',
  },
  route_blocked: {
    ...forbidden,
    sentence: 'This API key may not call the route {route}.',
  },
  origin_not_allowed: {
    ...forbidden,
    sentence: 'Pages of {origin} may not open sockets here.',
  },
  upgrade_required: {
    ...badRequest,
    status: 426,
    sentence: 'This route speaks WebSocket; open it with a WebSocket client.',
  },
  too_many_subscriptions: {
    ...badRequest,
    sentence: 'One socket may follow {limit} jobs at once.',
  },
  model_not_found: {
    ...notFound,
    sentence:
      'The model {model} does not exist here, or this key may not call it on {endpoint}. GET /v1/models lists what it may call.',
  },
  endpoint_not_served: {
    ...badRequest,
    sentence:
      'The endpoint {endpoint} is not served for the model {model}: its provider speaks the dialect of {dialect}, into which such calls are not translated.',
  },
  job_not_found: {
    ...notFound,
    sentence: 'There is no job {job}.',
  },
  webhook_endpoint_not_found: {
    ...notFound,
    sentence: 'There is no webhook endpoint {endpoint}.',
  },
  webhook_delivery_not_found: {
    ...notFound,
    sentence: 'There is no delivery {delivery} of this endpoint, or its message is no longer kept.',
  },
  webhook_url_refused: { ...badRequest, sentence: 'The webhook URL is refused: {reason}.' },
  too_many_webhook_endpoints: {
    ...badRequest,
    status: 409,
    sentence: 'A tenant may have {limit} webhook endpoints; delete one first.',
  },
  webhook_backlog_full: {
    status: 429,
    type: 'rate_limit_error',
    anthropicType: 'rate_limit_error',
    retryable: true,
    sentence: 'The endpoint already has {limit} deliveries waiting.',
  },
  route_not_found: {
    ...notFound,
    sentence: 'There is no route {method} {path}.',
  },
  file_not_found: {
    ...notFound,
    sentence: 'There is no file {file}.',
  },
  batch_not_found: {
    ...notFound,
    sentence: 'There is no batch {batch}.',
  },
  batch_already_ended: {
    ...badRequest,
    status: 409,
    sentence: 'The batch {batch} is already {status}.',
  },
  too_many_batches: {
    ...rateLimited,
    sentence: 'This tenant already has {current} of {limit} batches that have not ended.',
  },
  file_in_use: {
    ...badRequest,
    status: 409,
    sentence: 'The file {file} is the input of a batch that has not ended.',
  },
  file_too_large: {
    ...badRequest,
    status: 413,
    anthropicType: 'request_too_large',
    sentence: 'The file is larger than {limit} bytes.',
  },
  too_many_lines: { ...badRequest, status: 413, sentence: 'The file has more than {limit} lines.' },
  storage_full: {
    ...forbidden,
    sentence: 'The files of this tenant take {used} of {limit} bytes. Delete some first.',
  },
  invalid_upload: { ...badRequest, sentence: 'The upload is not valid: {reason}.' },
  document_not_found: {
    ...notFound,
    sentence: 'There is no {kind}/{id} here that was made while running.',
  },
  document_invalid: { ...badRequest, sentence: 'The object {kind}/{id} is not valid: {reason}.' },
  document_too_large: { ...badRequest, status: 413, sentence: 'The document is larger than {limit} bytes.' },
  document_conflict: {
    ...badRequest,
    status: 409,
    sentence: 'The object {kind}/{id} is in version {version} by now. Read it again.',
  },
  document_in_use: { ...badRequest, status: 409, sentence: 'The object {kind}/{id} is needed by {by}.' },
  overlay_full: { ...badRequest, status: 409, sentence: 'There are {limit} documents already; remove some.' },
  idempotency_mismatch: {
    ...badRequest,
    status: 422,
    sentence: 'This Idempotency-Key was used with another request body before (job {job}).',
  },
  job_already_finished: {
    ...badRequest,
    status: 409,
    sentence: 'The job {job} is already {state}.',
  },
  job_shared: {
    ...badRequest,
    status: 409,
    sentence: 'Other callers wait for the job {job} too; it is not cancelled.',
  },
  request_exceeds_ceiling: {
    ...badRequest,
    sentence:
      'The call needs about {tokens} tokens, more than the provider ever allows in one window for {pool}. Make it smaller.',
  },
  request_exceeds_limit: {
    ...badRequest,
    sentence:
      'The call may need {needed} {dimension}, more than the {limit} that its {axis} may ever use at once. Make it smaller, or lower its maximum of output tokens.',
  },
  request_limited: {
    ...rateLimited,
    sentence: 'The {axis} has made {current} of {limit} calls in {window_seconds} s.',
  },
  token_limited: {
    ...rateLimited,
    sentence:
      'The {axis} has {current} of {limit} {dimension} in {window_seconds} s in use, and this call may need {needed}.',
  },
  rate_limited: { ...rateLimited, sentence: 'The {axis} already has {current} of {limit} calls under way.' },
  budget_exceeded: {
    ...rateLimited,
    sentence:
      'The {axis} has spent or set aside {current} of {limit} USD in {window_seconds} s, and this call may cost {needed}.',
  },
  too_many_counters: {
    ...rateLimited,
    sentence: 'Too many values of {axis} are counted at present: {current}.',
  },
  pool_draining: {
    ...unavailable,
    sentence: 'The pool {pool} takes no new calls at present.',
  },
  object_not_found: {
    ...notFound,
    sentence: 'There is no {kind}/{id}.',
  },
  object_exists: { ...badRequest, status: 409, sentence: 'The object {kind}/{id} exists already.' },
  object_of_file: {
    ...badRequest,
    status: 409,
    sentence: 'The object {kind}/{id} stands in the configuration file; take it out there.',
  },
  precondition_failed: {
    ...badRequest,
    status: 412,
    sentence:
      'The object {kind}/{id} is in version {version} by now, not in the one that was named. Read it again.',
  },
  queue_full: {
    ...rateLimited,
    sentence: 'The queue of this {axis} is full: {current} of {limit} calls are waiting.',
  },
  price_unknown: {
    ...forbidden,
    sentence:
      'There is a budget for this call, and no price is known for {model}. Name a price, or let unpriced calls pass.',
  },
  pool_full: {
    ...unavailable,
    sentence: 'Too many calls wait for {pool}: {current} of {limit}.',
  },
  dropped: {
    ...unavailable,
    sentence:
      'Too many calls waited for {pool}, and a newer one took the place of this one; nothing was charged.',
  },
  await_timeout: {
    status: 504,
    type: 'server_error',
    anthropicType: 'timeout_error',
    retryable: false,
    sentence:
      'The call did not finish within {seconds} s. It goes on as job {job}; read its result there instead of sending it again.',
  },
  ...jobErrors,
  store_unavailable: {
    ...unavailable,
    sentence:
      'The job store cannot be reached right now. If you retry, send the same Idempotency-Key: the call may have been accepted.',
  },
  store_full: {
    ...unavailable,
    sentence: 'The job store is nearly full; new calls are refused until it drains.',
  },
  shutting_down: {
    ...unavailable,
    retryable: false,
    sentence:
      'This server is stopping. The call goes on as job {job}; read its result there instead of sending it again.',
  },
  blobs_unavailable: {
    ...unavailable,
    sentence: 'The place where files and large bodies are kept cannot be used right now.',
  },
  body_gone: {
    status: 500,
    type: 'server_error',
    anthropicType: 'api_error',
    retryable: false,
    sentence: 'The {part} of this job is no longer in the place where large bodies are kept.',
  },
  too_many_uploads: { ...unavailable, sentence: 'This server already takes {limit} uploads.' },
  too_many_sockets: {
    ...unavailable,
    sentence: 'No more sockets can be opened here: this {axis} already holds {limit}.',
  },
  too_many_waiting: { ...unavailable, sentence: 'This server already holds {limit} open calls.' },
  internal: {
    status: 500,
    type: 'server_error',
    anthropicType: 'api_error',
    retryable: true,
    sentence: 'Something went wrong here. The request id {request} helps to find out what.',
  },
  usage_busy: {
    ...unavailable,
    sentence: 'The usage of this tenant is being added up already; ask again when that is answered.',
  },
  secret_key_missing: {
    ...unavailable,
    retryable: false,
    sentence:
      'This installation has no key to encrypt secrets with, and stores none in plain. Set SLUICE_SECRET_KEY or SLUICE_SECRET_KEY_FILE.',
  },
  secret_unreadable: {
    ...unavailable,
    status: 500,
    anthropicType: 'api_error',
    retryable: false,
    sentence: 'A stored secret cannot be opened: {reason}.',
  },
} as const satisfies Record<string, CatalogEntry>;

export type ErrorCode = keyof typeof errorCatalog;
