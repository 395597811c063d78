/** One error a caller can meet. */
export interface CatalogEntry {
  /** HTTP status of the answer. */
  status: number;
  /** Error family in OpenAI's words, used as `error.type` on OpenAI-shaped routes. */
  type: string;
  /** Error family in Anthropic's words, used as `error.type` on `/v1/messages`. */
  anthropicType: string;
  /** Whether the same request may succeed later without being changed. */
  retryable: boolean;
  /** The public sentence. `{name}` stands for a field of the error. */
  sentence: string;
}

/** What errors have in common. */
export const badRequest = {
  status: 400,
  type: 'invalid_request_error',
  anthropicType: 'invalid_request_error',
  retryable: false,
} as const;
export const unauthorized = {
  ...badRequest,
  status: 401,
  anthropicType: 'authentication_error',
} as const;
export const forbidden = { ...badRequest, status: 403, anthropicType: 'permission_error' } as const;
export const notFound = { ...badRequest, status: 404, anthropicType: 'not_found_error' } as const;
export const unavailable = {
  status: 503,
  type: 'server_error',
  anthropicType: 'overloaded_error',
  retryable: true,
} as const;
export const rateLimited = {
  status: 429,
  type: 'rate_limit_error',
  anthropicType: 'rate_limit_error',
  retryable: true,
} as const;
export const upstream = {
  status: 502,
  type: 'server_error',
  anthropicType: 'api_error',
  retryable: true,
} as const;
