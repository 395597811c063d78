import type { LimitScope, MeteredLimit } from '../limits/limit-scope.ts';
import { goDuration } from './durations.ts';

const anthropicRounding = 1000;

/** What the headers depend on besides the counters. */
export interface HeaderMoment {
  nowMs: number;
  status: number;
  stream: boolean;
  /** What this request cost in tokens at admission. */
  tokenCost: number;
}

/** The rate-limit headers of the first scope that has any, as a flat list of names and values. */
export function rateHeaders(scopes: readonly LimitScope[], moment: HeaderMoment): string[] {
  const scope = scopes.find(({ config }) => config.headerDialect !== 'none');
  if (!scope) return [];
  const { headerDialect } = scope.config;
  if (headerDialect === 'anthropic') return anthropicHeaders(scope, moment);
  if (headerDialect === 'mistral') return mistralHeaders(scope, moment);
  const requests = shownRequests(scope);
  const tokens = scope.limits.find(({ config }) => config.dimension === 'tokens');
  const reset = headerDialect === 'azure' ? wholeSeconds : goDuration;
  return [
    ...openaiHeaders('requests', requests, moment.nowMs, reset),
    ...openaiHeaders('tokens', tokens, moment.nowMs, reset),
  ];
}

/** Groq names its daily requests and OpenAI the first that is configured. */
function shownRequests(scope: LimitScope): MeteredLimit | undefined {
  const requests = scope.limits.filter(({ config }) => config.dimension === 'requests');
  if (scope.config.headerDialect !== 'groq') return requests[0];
  return requests.reduce<MeteredLimit | undefined>(
    (longest, limit) => (limit.config.windowMs > (longest?.config.windowMs ?? 0) ? limit : longest),
    undefined,
  );
}

function openaiHeaders(
  name: string,
  limit: MeteredLimit | undefined,
  nowMs: number,
  reset: (durationMs: number) => string,
): string[] {
  if (!limit) return [];
  return [
    `x-ratelimit-limit-${name}`,
    String(limit.meter.limit),
    `x-ratelimit-remaining-${name}`,
    String(wholeRemaining(limit, nowMs)),
    `x-ratelimit-reset-${name}`,
    reset(limit.meter.fullAfterMs(nowMs)),
  ];
}

function mistralHeaders(scope: LimitScope, { nowMs, status, stream, tokenCost }: HeaderMoment): string[] {
  if (stream && status === 200) return [];
  const headers: string[] = [];
  for (const limit of scope.limits) {
    const { dimension } = limit.config;
    if (dimension !== 'requests' && dimension !== 'tokens') continue;
    const name = dimension === 'requests' ? 'req' : 'tokens';
    const remaining = status === 429 ? 0 : wholeRemaining(limit, nowMs);
    headers.push(`x-ratelimit-limit-${name}-minute`, String(limit.meter.limit));
    headers.push(`x-ratelimit-remaining-${name}-minute`, String(remaining));
  }
  if (status === 200) headers.push('x-ratelimit-tokens-query-cost', String(tokenCost));
  return headers;
}

function anthropicHeaders(scope: LimitScope, { nowMs }: HeaderMoment): string[] {
  const headers: string[] = [];
  const add = (name: string, limit: number, remaining: number, fullAfterMs: number) => {
    headers.push(`anthropic-ratelimit-${name}-limit`, String(limit));
    headers.push(`anthropic-ratelimit-${name}-remaining`, String(remaining));
    headers.push(`anthropic-ratelimit-${name}-reset`, new Date(nowMs + fullAfterMs).toISOString());
  };
  const sum = { limit: 0, remaining: 0, fullAfterMs: 0 };
  for (const limit of scope.limits) {
    const { dimension } = limit.config;
    if (dimension === 'concurrency') continue;
    const fullAfterMs = limit.meter.fullAfterMs(nowMs);
    const exact = wholeRemaining(limit, nowMs);
    const remaining =
      dimension === 'requests' ? exact : Math.round(exact / anthropicRounding) * anthropicRounding;
    add(dimension.replace('_', '-'), limit.meter.limit, remaining, fullAfterMs);
    if (dimension !== 'input_tokens' && dimension !== 'output_tokens') continue;
    sum.limit += limit.meter.limit;
    sum.remaining += remaining;
    sum.fullAfterMs = Math.max(sum.fullAfterMs, fullAfterMs);
  }
  const named = scope.limits.some(({ config }) => config.dimension === 'tokens');
  if (sum.limit > 0 && !named) add('tokens', sum.limit, sum.remaining, sum.fullAfterMs);
  return headers;
}

function wholeRemaining({ meter }: MeteredLimit, nowMs: number): number {
  return Math.max(0, Math.floor(meter.remaining(nowMs) + 1e-6));
}

function wholeSeconds(durationMs: number): string {
  return String(Math.ceil((durationMs - 1e-6) / 1000));
}
