import { expect, test } from 'vitest';
import { classifyFailure, type FailureClass } from '../../../services/worker/failures/classify.ts';

const nowMs = Date.parse('2026-08-01T12:00:00Z');

interface Case {
  of: string;
  status: number;
  body: Record<string, unknown>;
  headers?: Record<string, string>;
  class: FailureClass;
  retryAfterMs?: number;
}

const gemini = (quotaIds: string[], retryDelay: string) => ({
  error: {
    code: 429,
    message: 'You exceeded your current quota, ...',
    status: 'RESOURCE_EXHAUSTED',
    details: [
      { '@type': 'type.googleapis.com/google.rpc.Help', links: [] },
      {
        '@type': 'type.googleapis.com/google.rpc.QuotaFailure',
        violations: quotaIds.map((quotaId) => ({
          quotaMetric: 'generativelanguage.googleapis.com/x',
          quotaId,
        })),
      },
      { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay },
    ],
  },
});

/** Answers as Azure, Gemini, Vertex AI, Bedrock, Mistral and Cohere send them: captured, or written in their documentation. */
const cases: Case[] = [
  {
    of: 'Mistral, until the full minute',
    status: 429,
    body: { object: 'error', message: 'Rate limit exceeded', type: 'rate_limited', code: '1300' },
    class: 'quota',
    retryAfterMs: 60_000,
  },
  {
    of: 'Azure tokens',
    status: 429,
    body: {
      error: {
        code: '429',
        message:
          'Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2023-12-01-preview have exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry after 22 seconds. Please go here: https://aka.ms/oai/quotaincrease if you would like to further increase the default rate limit.',
      },
    },
    class: 'quota',
    retryAfterMs: 22_000,
  },
  {
    of: 'Azure provisioned throughput',
    status: 429,
    body: { error: { code: '429', message: 'x' } },
    headers: { 'retry-after-ms': '317', 'retry-after': '1' },
    class: 'quota',
    retryAfterMs: 317,
  },
  {
    of: 'Azure demand',
    status: 429,
    body: { error: { code: '429', message: 'System is experiencing high demand and cannot process.' } },
    class: 'capacity',
  },
  {
    of: 'Gemini per minute',
    status: 429,
    body: gemini(['GenerateRequestsPerMinutePerProjectPerModel-FreeTier'], '37s'),
    class: 'quota',
    retryAfterMs: 37_000,
  },
  {
    of: 'Gemini per day, whatever its delay says: midnight in California',
    status: 429,
    body: gemini(
      [
        'GenerateRequestsPerDayPerProjectPerModel-FreeTier',
        'GenerateRequestsPerMinutePerProjectPerModel-FreeTier',
        'GenerateContentInputTokensPerModelPerMinute-FreeTier',
      ],
      '1s',
    ),
    class: 'quota',
    // Noon in Greenwich is five in the morning there.
    retryAfterMs: 19 * 3_600_000,
  },
  {
    of: 'Vertex AI, of what all share',
    status: 429,
    body: {
      error: {
        code: 429,
        message:
          'Resource exhausted. Please try again later. Please refer to https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429 for more details.',
        status: 'RESOURCE_EXHAUSTED',
      },
    },
    class: 'capacity',
  },
  ...(
    [
      [503, 'UNAVAILABLE', 'capacity'],
      [500, 'INTERNAL', 'server'],
      [504, 'DEADLINE_EXCEEDED', 'server'],
      [400, 'INVALID_ARGUMENT', 'rejected'],
      [403, 'PERMISSION_DENIED', 'rejected'],
    ] as const
  ).map(
    ([code, status, failure]): Case => ({
      of: `Gemini ${status}`,
      status: code,
      body: { error: { code, message: 'x', status } },
      class: failure,
    }),
  ),
  ...(
    [
      [503, 'ServiceUnavailableException', 'capacity'],
      [529, 'overloaded_error', 'capacity'],
      [500, 'InternalServerException', 'server'],
      [408, 'ModelTimeoutException', 'server'],
      [400, 'ValidationException', 'rejected'],
      [400, 'ServiceQuotaExceededException', 'rejected'],
      [403, 'AccessDeniedException', 'rejected'],
      [404, 'ResourceNotFoundException', 'rejected'],
    ] as const
  ).map(
    ([status, type, failure]): Case => ({
      of: `Bedrock ${type}`,
      status,
      body: { message: 'x' },
      headers: { 'x-amzn-errortype': `${type}:http://internal.amazon.com/coral/` },
      class: failure,
    }),
  ),
  ...(
    [
      [500, 'server'],
      [429, 'server'],
      [400, 'rejected'],
      [undefined, 'server'],
    ] as const
  ).map(
    ([originalStatusCode, failure]): Case => ({
      of: `Bedrock, a model that failed with ${originalStatusCode}`,
      status: 424,
      body: { message: 'x', originalStatusCode },
      headers: { 'x-amzn-errortype': 'ModelErrorException' },
      class: failure,
    }),
  ),
  {
    of: 'Bedrock, throttled within a stream',
    status: 429,
    body: { message: 'Too many tokens', __type: 'throttlingException' },
    class: 'quota',
  },
  {
    of: 'Cohere per month',
    status: 429,
    body: { message: 'You are using a Trial key, which is limited to 1000 API calls / month.' },
    class: 'billing',
  },
  { of: 'a dependency that failed elsewhere', status: 424, body: { message: 'x' }, class: 'rejected' },
];

test.each(cases)(
  '$of ($status) is $class',
  ({ status, body, headers = {}, class: expected, retryAfterMs }) => {
    const failure = classifyFailure({ status, headers, body, nowMs });
    expect(failure.class).toBe(expected);
    expect(failure.retryAfterMs).toBe(retryAfterMs);
    expect(failure.retryable).toBe(!['billing', 'oversize', 'rejected'].includes(expected));
  },
);
