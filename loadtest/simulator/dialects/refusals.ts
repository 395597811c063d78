import type { Refusal } from '../limits/limit-book.ts';
import type { LimitConfig } from '../limits/limits-schema.ts';
import { goDuration, retryAfterSeconds } from './durations.ts';
import type { Dialect } from './endpoint.ts';
import {
  anthropicError,
  type ErrorReply,
  errorBody,
  googleError,
  openaiError,
  type RefusalKind,
} from './error-body.ts';

const dayMs = 86_400_000;
const learnMore = 'Visit https://platform.openai.com/account/rate-limits to learn more.';
const reduceTokens = 'The input or output tokens must be reduced in order to run successfully.';

/** Those that send no Retry-After. */
const silent = ['mistral', 'none', 'gemini', 'bedrock'];

interface RefusedCall {
  dialect: Dialect;
  model: string;
  requestId: string;
  nowMs: number;
}

/** The refusal as that provider words it, with Retry-After where it sends one. */
export function refusalReply(refusal: Refusal, call: RefusedCall): ErrorReply & { headers: string[] } {
  const { config: scope } = refusal.limit.scope;
  const style = call.dialect === 'openai' ? scope.headerDialect : call.dialect;
  const timed = Number.isFinite(refusal.waitMs);
  const sendsRetryAfter = scope.retryAfter ?? !silent.includes(style);
  const headers = timed && sendsRetryAfter ? ['retry-after', String(retryAfterSeconds(refusal.waitMs))] : [];
  if (timed && style === 'azure') headers.push('retry-after-ms', String(Math.ceil(refusal.waitMs)));
  return { ...bodyOf(style, refusal, call), headers };
}

function bodyOf(style: string, refusal: Refusal, call: RefusedCall): ErrorReply {
  const oversize = refusal.waitMs === Number.POSITIVE_INFINITY;
  switch (style) {
    case 'anthropic':
      return { status: 429, body: anthropicQuota(refusal, call.requestId) };
    case 'gemini':
      return oversize
        ? { status: 400, body: googleError(400, 'The input token count exceeds the maximum.') }
        : { status: 429, body: googleQuota(refusal, call) };
    case 'bedrock':
      return oversize
        ? { status: 400, body: { message: 'Input is too long for requested model.' } }
        : { status: 429, body: { message: awsWords(refusal.limit.config.dimension) } };
    case 'azure':
      return { status: 429, body: azureQuota(refusal) };
    case 'mistral':
      return {
        status: 429,
        body: {
          object: 'error',
          message: 'Rate limit exceeded',
          type: 'rate_limited',
          param: null,
          code: '1300',
        },
      };
    case 'groq':
      return { status: oversize ? 413 : 429, body: groqQuota(refusal, call) };
    default:
      return { status: 429, body: openaiQuota(refusal, call) };
  }
}

function openaiQuota(refusal: Refusal, { model, nowMs }: RefusedCall): unknown {
  const { dimension } = refusal.limit.config;
  const type = dimension === 'requests' ? 'requests' : 'tokens';
  if (dimension === 'concurrency') return concurrencyError();
  const subject = `${model} in organization org-simulator on ${dimensionName(refusal.limit.config)}`;
  const message =
    refusal.waitMs === Number.POSITIVE_INFINITY
      ? `Request too large for ${subject}: Limit ${refusal.limit.meter.limit}, Requested ${refusal.requested}. ${reduceTokens} ${learnMore}`
      : `Rate limit reached for ${subject}: ${counted(refusal, nowMs)}. Please try again in ${goDuration(refusal.waitMs)}. ${learnMore}`;
  return openaiError(message, type, 'rate_limit_exceeded');
}

function groqQuota(refusal: Refusal, { model, nowMs }: RefusedCall): unknown {
  const { dimension } = refusal.limit.config;
  if (dimension === 'concurrency') return concurrencyError();
  const type = dimension === 'requests' ? 'requests' : 'tokens';
  const subject = `model \`${model}\` in organization \`org_simulator\` service tier \`on_demand\` on ${dimensionName(refusal.limit.config)}`;
  const message =
    refusal.waitMs === Number.POSITIVE_INFINITY
      ? `Request too large for ${subject}: Limit ${refusal.limit.meter.limit}, Requested ${refusal.requested}, please reduce your message size and try again.`
      : `Rate limit reached for ${subject}: ${counted(refusal, nowMs)}. Please try again in ${goDuration(refusal.waitMs)}. Need more tokens? Upgrade to Dev Tier today at https://console.groq.com/settings/billing`;
  return { error: { message, type, code: 'rate_limit_exceeded' } };
}

function azureQuota(refusal: Refusal): unknown {
  const kind = refusal.limit.config.dimension === 'requests' ? 'call' : 'token';
  const seconds = Number.isFinite(refusal.waitMs) ? retryAfterSeconds(refusal.waitMs) : 1;
  const message = `Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-10-21 have exceeded ${kind} rate limit of your current OpenAI S0 pricing tier. Please retry after ${seconds} seconds. Please go here: https://aka.ms/oai/quotaincrease if you would like to further increase the default rate limit.`;
  return { error: { code: '429', message } };
}

const awsWords = (dimension: LimitConfig['dimension']) =>
  dimension === 'requests' || dimension === 'concurrency'
    ? 'Your request rate is too high. Reduce the frequency of requests.'
    : 'Too many tokens, please wait before trying again.';

function googleQuota({ limit, waitMs }: Refusal, { model }: { model: string }): unknown {
  const { dimension, windowMs } = limit.config;
  const requests = dimension === 'requests';
  const period = windowMs === dayMs ? 'PerDay' : 'PerMinute';
  const violation = {
    quotaMetric: `generativelanguage.googleapis.com/generate_content_${requests ? 'requests' : 'input_token_count'}`,
    quotaId: requests
      ? `GenerateRequests${period}PerProjectPerModel`
      : `GenerateContentInputTokensPerModel${period}`,
    quotaDimensions: { location: 'global', model },
    quotaValue: String(limit.meter.limit),
  };
  const seconds = Number.isFinite(waitMs) ? Math.ceil(waitMs) / 1_000 : 1;
  return googleError(429, 'You exceeded your current quota, please check your plan and billing details.', [
    { '@type': 'type.googleapis.com/google.rpc.QuotaFailure', violations: [violation] },
    { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: `${seconds}s` },
  ]);
}

function anthropicQuota(refusal: Refusal, requestId: string): unknown {
  const { config, meter } = refusal.limit;
  const message =
    config.dimension === 'concurrency'
      ? 'Number of concurrent connections has exceeded your rate limit. Please try again later or contact sales at https://www.anthropic.com/contact-sales to discuss your options for a rate limit increase.'
      : `This request would exceed your organization's rate limit of ${meter.limit} ${config.dimension.replace('_', ' ')} per ${config.windowMs === dayMs ? 'day' : 'minute'}. For details, refer to: https://docs.claude.com/en/api/rate-limits.`;
  return anthropicError(message, 'rate_limit_error', requestId);
}

function concurrencyError(): unknown {
  return openaiError('Too many concurrent requests.', 'requests', 'rate_limit_exceeded');
}

/** 'Limit 3, Used 3, Requested 1', so that (used + requested - limit) / limit * window is the wait. */
function counted(refusal: Refusal, nowMs: number): string {
  const { meter } = refusal.limit;
  const used = Math.round(meter.limit - meter.remaining(nowMs));
  return `Limit ${meter.limit}, Used ${used}, Requested ${refusal.requested}`;
}

const dimensionWords: Record<LimitConfig['dimension'], readonly [words: string, letters: string]> = {
  requests: ['requests', 'R'],
  tokens: ['tokens', 'T'],
  input_tokens: ['input tokens', 'IT'],
  output_tokens: ['output tokens', 'OT'],
  concurrency: ['concurrent requests', 'C'],
};

function dimensionName({ dimension, windowMs }: LimitConfig): string {
  const [words, letters] = dimensionWords[dimension];
  return windowMs === dayMs ? `${words} per day (${letters}PD)` : `${words} per min (${letters}PM)`;
}

/** The same kinds of refusal without a limit behind them, for faults. */
export function refusalOfKind(
  kind: RefusalKind,
  call: {
    dialect: Dialect;
    model: string;
    requestId: string;
    status: number | undefined;
    retryAfterMs: number | undefined;
  },
): ErrorReply {
  if (call.dialect === 'anthropic') return anthropicKind(kind, call);
  if (call.dialect === 'openai') return openaiKind(kind, call);
  return plainKind(kind, call);
}

type KindCall = Parameters<typeof refusalOfKind>[1];

/** Gemini and Bedrock tell few kinds apart. */
function plainKind(kind: RefusalKind, { dialect, status, retryAfterMs, requestId }: KindCall): ErrorReply {
  const statuses: Partial<Record<RefusalKind, number>> = { capacity: 503, oversize: 400, billing: 402 };
  const code = status ?? statuses[kind] ?? 429;
  if (dialect === 'gemini' && code === 429) {
    const delay = {
      '@type': 'type.googleapis.com/google.rpc.RetryInfo',
      retryDelay: `${(retryAfterMs ?? 1_000) / 1_000}s`,
    };
    return {
      status: code,
      body: googleError(code, 'Resource has been exhausted (e.g. check quota).', [delay]),
    };
  }
  const words = code === 429 ? 'Too many tokens, please wait before trying again.' : `Refused: ${kind}.`;
  return { status: code, body: errorBody(dialect, code, words, requestId) };
}

function openaiKind(kind: RefusalKind, call: KindCall): ErrorReply {
  const { model, status = 429, retryAfterMs = 1000, requestId } = call;
  const subject = `${model} in organization org-simulator on tokens per min (TPM)`;
  switch (kind) {
    case 'quota': {
      const message = `Rate limit reached for ${subject}: Limit 30000, Used 30000, Requested 500. Please try again in ${goDuration(retryAfterMs)}. ${learnMore}`;
      return { status, body: openaiError(message, 'tokens', 'rate_limit_exceeded') };
    }
    case 'ramp':
      return {
        status,
        body: openaiError(
          'Slow down: your request rate is growing too fast.',
          'rate_limit_error',
          'slow_down',
        ),
      };
    case 'capacity':
      return {
        status: call.status ?? 503,
        body: errorBody(
          'openai',
          503,
          'The server is currently overloaded. Please try again later.',
          requestId,
        ),
      };
    case 'billing':
      return {
        status,
        body: openaiError(
          'You exceeded your current quota, please check your plan and billing details.',
          'insufficient_quota',
          'credit_balance_exhausted',
        ),
      };
    case 'oversize':
      return {
        status,
        body: openaiError(
          `Request too large for ${subject}: Limit 30000, Requested 87968. ${reduceTokens} ${learnMore}`,
          'tokens',
          'rate_limit_exceeded',
        ),
      };
    case 'concurrency':
      return { status, body: concurrencyError() };
  }
}

function anthropicKind(kind: RefusalKind, call: KindCall): ErrorReply {
  const { status = 429, requestId } = call;
  const limited = (message: string): ErrorReply => ({
    status,
    body: anthropicError(message, 'rate_limit_error', requestId),
  });
  switch (kind) {
    case 'quota':
      return limited(
        "This request would exceed your organization's rate limit of 30000 input tokens per minute.",
      );
    case 'ramp':
      return limited('Your usage has increased too sharply (acceleration limit). Please ramp up gradually.');
    case 'capacity':
      return {
        status: call.status ?? 529,
        body: anthropicError('Overloaded', 'overloaded_error', requestId),
      };
    case 'billing': {
      const message =
        'You have reached your API usage limits: you will regain access on 2099-01-01 at 00:00 UTC.';
      const details = { error_code: 'enforced_spend_limit_reached' };
      return { status, body: anthropicError(message, 'rate_limit_error', requestId, details) };
    }
    case 'oversize':
      return {
        status: call.status ?? 413,
        body: anthropicError('Request exceeds the maximum size', 'request_too_large', requestId),
      };
    case 'concurrency':
      return limited('Number of concurrent connections has exceeded your rate limit.');
  }
}
