import type { ProviderSettings } from '#config/schema.ts';
import type { LimitReading } from '#shared/contracts/limit-reading.ts';
import { parseGoDuration } from '../failures/retry-after.ts';

type Headers = Readonly<Record<string, string>>;
type WindowName = 'second' | 'minute' | 'hour' | 'day';

/** A limit as the headers name it; not every provider says which window it is for. */
export type NamedLimit = Omit<LimitReading, 'windowMs'> & { window: WindowName | undefined };

interface Fields {
  limit: string | undefined;
  remaining: string | undefined;
  reset?: string | undefined;
}

const largestLimit = 1e12;
/** Seconds and milliseconds since 1970 of any present time are above these. */
const epochMsAbove = 1e11;
const epochSecondsAbove = 1e9;
/** Anthropic rounds what remains of tokens to the nearest thousand. */
const anthropicGrain = 1_000;

function countOf(text: string | undefined): number | undefined {
  if (text === undefined || !/^-?\d+(\.\d+)?$/.test(text.trim())) return undefined;
  return Math.max(0, Number(text));
}

/** A reset as any of them writes it: a Go duration, RFC 3339, seconds, or a time since 1970. */
export function readReset(
  text: string | undefined,
  nowMs: number,
): { resetMs: number | undefined; resetGrainMs: number } {
  const value = text?.trim() ?? '';
  const goMs = parseGoDuration(value);
  if (goMs !== undefined) return { resetMs: goMs, resetGrainMs: 1 };
  if (/^\d+(\.\d+)?$/.test(value)) {
    const number = Number(value);
    const resetGrainMs = value.includes('.') ? 1 : 1_000;
    if (number > epochMsAbove) return { resetMs: Math.max(0, number - nowMs), resetGrainMs: 1_000 };
    if (number > epochSecondsAbove)
      return { resetMs: Math.max(0, number * 1_000 - nowMs), resetGrainMs: 1_000 };
    return { resetMs: Math.ceil(number * 1_000), resetGrainMs };
  }
  if (/^\d{4}-\d\d-\d\dT/.test(value)) {
    const atMs = Date.parse(value);
    if (!Number.isNaN(atMs))
      return { resetMs: Math.max(0, atMs - nowMs), resetGrainMs: value.includes('.') ? 1 : 1_000 };
  }
  return { resetMs: undefined, resetGrainMs: 0 };
}

type Rest = Pick<NamedLimit, 'dimension' | 'window'> & Partial<Pick<NamedLimit, 'grain' | 'wallClock'>>;

function limitOf(fields: Fields, nowMs: number, rest: Rest): NamedLimit[] {
  const limit = countOf(fields.limit);
  const remaining = countOf(fields.remaining);
  if (limit === undefined || remaining === undefined || limit < 1 || limit > largestLimit) return [];
  const used = Math.max(0, limit - remaining);
  return [{ grain: 0, wallClock: false, ...rest, limit, used, ...readReset(fields.reset, nowMs) }];
}

function fieldsOf(headers: Headers, place: (part: string) => string): Fields {
  return {
    limit: headers[place('limit')],
    remaining: headers[place('remaining')],
    reset: headers[place('reset')],
  };
}

/** Anthropic. Its `tokens` show whichever limit is tightest, so they count only where nothing else is named. */
function anthropicLimits(headers: Headers, nowMs: number): NamedLimit[] {
  const read = (name: string, dimension: NamedLimit['dimension']) =>
    limitOf(
      fieldsOf(headers, (part) => `anthropic-ratelimit-${name}-${part}`),
      nowMs,
      {
        dimension,
        window: 'minute',
        grain: dimension === 'requests' ? 0 : anthropicGrain,
      },
    );
  const tokens = [...read('input-tokens', 'input_tokens'), ...read('output-tokens', 'output_tokens')];
  return [...read('requests', 'requests'), ...(tokens.length > 0 ? tokens : read('tokens', 'tokens'))];
}

const openaiNames = [
  ['requests', 'requests'],
  ['tokens', 'tokens'],
  ['tokens-prompt', 'input_tokens'],
  ['tokens-generated', 'output_tokens'],
] as const;

/** OpenAI, Groq (Go durations), Azure (whole seconds, always of a minute) and Fireworks (no reset). */
function openaiLimits(headers: Headers, nowMs: number): NamedLimit[] {
  const read = (name: string, dimension: NamedLimit['dimension']) => {
    const fields = fieldsOf(headers, (part) => `x-ratelimit-${part}-${name}`);
    const isAzure = /^\d+$/.test(fields.reset?.trim() ?? '');
    return limitOf(fields, nowMs, { dimension, window: isAzure ? 'minute' : undefined });
  };
  const limits = openaiNames.flatMap(([name, dimension]) => read(name, dimension));
  const [project] = read('project-tokens', 'tokens');
  const organization = limits.find(({ dimension }) => dimension === 'tokens');
  // A project's own limit holds beside the organisation's; the tighter one is met first.
  if (!project || (organization && organization.limit <= project.limit)) return limits;
  return [...limits.filter((each) => each !== organization), project];
}

const namedWindows = ['minute', 'hour', 'day'] as const;

/** Cerebras and Mistral name the window. Mistral, which sends no reset, clears its counters at the full minute. */
function windowedLimits(headers: Headers, nowMs: number): NamedLimit[] {
  return namedWindows.flatMap((window) =>
    (
      [
        ['requests', 'requests'],
        ['req', 'requests'],
        ['tokens', 'tokens'],
      ] as const
    ).flatMap(([name, dimension]) => {
      const fields = fieldsOf(headers, (part) => `x-ratelimit-${part}-${name}-${window}`);
      const wallClock = fields.reset === undefined && window === 'minute';
      return limitOf(fields, nowMs, { dimension, window, wallClock });
    }),
  );
}

/** Together (measured by the second) and OpenRouter (a reset in milliseconds since 1970). */
function bareLimits(headers: Headers, nowMs: number): NamedLimit[] {
  const fields = fieldsOf(headers, (part) => `x-ratelimit-${part}`);
  const tokens = { limit: headers['x-tokenlimit-limit'], remaining: headers['x-tokenlimit-remaining'] };
  const isEpoch = Number(fields.reset) > epochSecondsAbove;
  return [
    ...limitOf(fields, nowMs, { dimension: 'requests', window: isEpoch ? undefined : 'second' }),
    ...limitOf(tokens, nowMs, { dimension: 'tokens', window: 'second' }),
  ];
}

/**
 * What the rate-limit headers of an answer say, in any dialect; header names in lower case. What makes no sense is left
 * out. Cohere's `x-trial-endpoint-call-remaining` names no limit, and Gemini, Bedrock and DeepSeek send nothing.
 */
export function readLimits(headers: Headers, nowMs: number): NamedLimit[] {
  // Looking for each name of each dialect costs more than all else that is done with the headers of an answer.
  if (!Object.keys(headers).some((name) => name.includes('limit'))) return [];
  return [
    ...anthropicLimits(headers, nowMs),
    ...openaiLimits(headers, nowMs),
    ...windowedLimits(headers, nowMs),
    ...bareLimits(headers, nowMs),
  ];
}

/** The windows that are known of a provider's headers go before what they look like. */
export function placeLimits(
  limits: readonly NamedLimit[],
  known: ProviderSettings['limit_headers'],
): readonly NamedLimit[] {
  if (known.requests === 'auto' && known.tokens === 'auto') return limits;
  return limits.flatMap((limit) => {
    const window = limit.dimension === 'requests' ? known.requests : known.tokens;
    if (window === 'ignore') return [];
    return window === 'auto' ? [limit] : [{ ...limit, window }];
  });
}
