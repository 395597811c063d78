import { describe, expect, test } from 'vitest';
import { classifyFailure, type FailureClass } from '../../../services/worker/failures/classify.ts';

const nowMs = Date.parse('2026-08-01T12:00:00Z');
const classify = (status: number, body?: Record<string, unknown>, headers: Record<string, string> = {}) =>
  classifyFailure({ status, headers, body, nowMs });

interface Case {
  of: string;
  status: number;
  body?: Record<string, unknown>;
  headers?: Record<string, string>;
  class: FailureClass;
  retryAfterMs?: number;
}

const openai = (message: string, type: string | null, code: string | null) => ({
  error: { message, type, param: null, code },
});
const anthropic = (type: string, message: string, details?: object) => ({
  type: 'error',
  error: { type, message, ...(details ? { details } : {}) },
  request_id: 'req_1',
});

/** Answers as providers send them: captured, or written in their documentation. */
const cases: Case[] = [
  {
    of: 'OpenAI requests per minute',
    status: 429,
    body: openai(
      'Rate limit reached for gpt-4o-mini in organization org-X on requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in 20s. Visit https://platform.openai.com/account/rate-limits to learn more.',
      'requests',
      'rate_limit_exceeded',
    ),
    class: 'quota',
    retryAfterMs: 20_000,
  },
  {
    of: 'OpenAI tokens per minute',
    status: 429,
    body: openai(
      'Rate limit reached for gpt-5.6-sol in organization org-X on tokens per min (TPM): Limit 500000, Used 500000, Requested 83734. Please try again in 10.048s.',
      'tokens',
      'rate_limit_exceeded',
    ),
    class: 'quota',
    retryAfterMs: 10_048,
  },
  {
    of: 'OpenAI larger than the limit',
    status: 429,
    body: openai(
      'Request too large for gpt-4o in organization org-X on tokens per min (TPM): Limit 30000, Requested 87968. The input or output tokens must be reduced.',
      'tokens',
      'rate_limit_exceeded',
    ),
    class: 'oversize',
  },
  {
    of: 'OpenAI ramp',
    status: 429,
    body: openai('Slow down.', 'rate_limit_error', 'slow_down'),
    class: 'ramp',
  },
  ...[
    'insufficient_quota',
    'credit_balance_exhausted',
    'organization_spend_limit_exceeded',
    'project_spend_limit_exceeded',
    'organization_usage_limit_exceeded',
  ].map(
    (code): Case => ({
      of: `OpenAI ${code}`,
      status: 429,
      body: openai('You exceeded your current quota.', 'insufficient_quota', code),
      class: 'billing',
    }),
  ),
  {
    of: 'OpenAI flex tier',
    status: 429,
    body: openai('429 Resource Unavailable', null, null),
    class: 'capacity',
  },
  {
    of: 'OpenAI overloaded',
    status: 503,
    body: openai('overloaded', 'service_unavailable_error', 'server_is_overloaded'),
    class: 'capacity',
  },
  { of: 'OpenAI server error', status: 500, body: openai('error', 'server_error', null), class: 'server' },
  ...[400, 401, 403, 404, 422].map(
    (status): Case => ({
      of: `OpenAI ${status}`,
      status,
      body: openai('no', 'invalid_request_error', null),
      class: 'rejected',
    }),
  ),
  {
    of: 'Anthropic rate limit',
    status: 429,
    body: anthropic('rate_limit_error', 'slow'),
    headers: { 'retry-after': '17' },
    class: 'quota',
    retryAfterMs: 17_000,
  },
  {
    of: 'Anthropic spend limit of the organisation',
    status: 429,
    body: anthropic(
      'rate_limit_error',
      'You have reached your API usage limits: ... You will regain access on 2026-09-01 at 00:00 UTC.',
      { error_code: 'enforced_spend_limit_reached' },
    ),
    class: 'billing',
  },
  {
    of: 'Anthropic spend limit by its code alone',
    status: 429,
    body: anthropic('rate_limit_error', '...', { error_code: 'enforced_spend_limit_reached' }),
    class: 'billing',
  },
  {
    of: 'Anthropic overloaded',
    status: 529,
    body: anthropic('overloaded_error', 'Overloaded'),
    class: 'capacity',
  },
  { of: 'Anthropic error', status: 500, body: anthropic('api_error', 'x'), class: 'server' },
  { of: 'Anthropic time-out', status: 504, body: anthropic('timeout_error', 'x'), class: 'server' },
  { of: 'Anthropic conflict', status: 409, body: anthropic('conflict_error', 'x'), class: 'server' },
  { of: 'Anthropic too large', status: 413, body: anthropic('request_too_large', 'x'), class: 'oversize' },
  { of: 'Anthropic billing', status: 402, body: anthropic('billing_error', 'x'), class: 'billing' },
  {
    of: 'Azure tokens',
    status: 429,
    body: {
      error: {
        code: '429',
        message:
          'Requests to the ChatCompletions_Create Operation have exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry after 22 seconds.',
      },
    },
    class: 'quota',
    retryAfterMs: 22_000,
  },
  {
    of: 'Azure high demand',
    status: 429,
    body: { error: { code: '429', message: 'System is experiencing high demand' } },
    class: 'capacity',
  },
  {
    of: 'Azure provisioned',
    status: 429,
    headers: { 'retry-after-ms': '1234', 'retry-after': '2' },
    class: 'quota',
    retryAfterMs: 1_234,
  },
  {
    of: 'Gemini per minute',
    status: 429,
    body: {
      error: {
        code: 429,
        message: 'You exceeded your current quota',
        status: 'RESOURCE_EXHAUSTED',
        details: [
          { '@type': 'type.googleapis.com/google.rpc.Help' },
          { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '1s' },
        ],
      },
    },
    class: 'quota',
    retryAfterMs: 1_000,
  },
  {
    of: 'Bedrock throttling',
    status: 429,
    body: { message: 'Too many tokens, please wait before trying again.' },
    class: 'quota',
  },
  { of: 'Bedrock model time-out', status: 408, body: { message: 'x' }, class: 'server' },
  {
    of: 'Groq per day',
    status: 429,
    body: {
      error: {
        message:
          'Rate limit reached for model `llama` on tokens per day (TPD): Limit 500000, Used 499558, Requested 805. Please try again in 1m2.7264s. Need more tokens?',
        type: 'tokens',
        code: 'rate_limit_exceeded',
      },
    },
    class: 'quota',
    retryAfterMs: 62_727,
  },
  {
    of: 'Groq too large',
    status: 413,
    body: { error: { message: 'Request too large for model', code: 'rate_limit_exceeded' } },
    headers: { 'retry-after': '9' },
    class: 'oversize',
    retryAfterMs: 9_000,
  },
  {
    of: 'Cerebras quota',
    status: 429,
    body: { param: 'quota', code: 'request_quota_exceeded', message: 'x' },
    headers: { 'retry-after': '57' },
    class: 'quota',
    retryAfterMs: 57_000,
  },
  {
    of: 'Cerebras queue',
    status: 429,
    body: { param: 'queue', code: 'queue_exceeded', message: 'x' },
    class: 'capacity',
  },
  {
    of: 'Cohere',
    status: 429,
    body: { message: 'You are using a Trial key, which is limited to 20 API calls / minute' },
    class: 'quota',
  },
  {
    of: 'DeepSeek concurrency',
    status: 429,
    body: openai('Too many concurrent requests', 'rate_limit_error', null),
    class: 'concurrency',
  },
  {
    of: 'Anthropic spend limit that its owner set',
    status: 400,
    body: anthropic('invalid_request_error', 'You have reached your specified API usage limits. Wait.'),
    class: 'billing',
  },
  {
    of: 'Anthropic spend limit of a workspace',
    status: 400,
    body: anthropic(
      'invalid_request_error',
      'You have reached your specified workspace API usage limits. Wait.',
    ),
    class: 'billing',
  },
  {
    of: 'Anthropic acceleration',
    status: 429,
    body: anthropic('rate_limit_error', 'Your usage has increased too sharply (acceleration limit).'),
    class: 'ramp',
  },
  ...[
    'Too many tokens, please wait before trying again.',
    'Your request rate is too high. Reduce the frequency of requests.',
    'Your request was denied due to exceeding the account quotas for Amazon Bedrock.',
  ].map(
    (message): Case => ({
      of: `Bedrock: ${message}`,
      status: 429,
      body: { message },
      headers: { 'x-amzn-errortype': 'ThrottlingException' },
      class: 'quota',
    }),
  ),
  {
    of: 'Bedrock, model not ready',
    status: 429,
    body: { message: 'x' },
    headers: { 'x-amzn-errortype': 'ModelNotReadyException:http://internal' },
    class: 'capacity',
  },
  {
    of: 'OpenRouter',
    status: 429,
    body: {
      error: {
        message: 'Rate limit exceeded: free-models-per-min',
        metadata: { headers: { 'X-RateLimit-Reset': String(nowMs + 9_000) } },
      },
    },
    class: 'quota',
    retryAfterMs: 9_000,
  },
  {
    of: 'Hugging Face credits',
    status: 402,
    headers: { 'x-error-message': 'You have depleted your monthly included credits' },
    class: 'billing',
  },
  { of: 'DeepSeek balance', status: 402, class: 'billing' },
  { of: 'Together', status: 503, class: 'capacity' },
];

describe('what an answer means', () => {
  test.each(cases)('$of ($status) is $class', ({ status, body, headers, class: expected, retryAfterMs }) => {
    const failure = classify(status, body, headers);
    expect(failure.class).toBe(expected);
    expect(failure.retryAfterMs).toBe(retryAfterMs);
    expect(failure.retryable).toBe(!['billing', 'oversize', 'rejected'].includes(expected));
    expect(failure.countsAsAttempt).toBe(!['quota', 'ramp', 'concurrency'].includes(expected));
  });

  test.each([
    {},
    { error: null },
    { error: 'text' },
    { error: [] },
    { error: { message: 5, type: {}, code: [] } },
    { error: { details: 'x' } },
    { error: { details: [null, 1, {}] } },
    undefined,
  ])('a body that makes no sense is judged by its status: %j', (body) => {
    expect(classify(429, body).class).toBe('quota');
    expect(classify(500, body).class).toBe('server');
    expect(classify(400, body).class).toBe('rejected');
  });
});
