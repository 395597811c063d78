import { z } from 'zod';
import type { FallbackCondition, QualitySettings } from '#config/schema.ts';
import type { CacheOrder } from './cache.ts';
import type { endpoints } from './endpoint.ts';

export const waitingStates = ['queued', 'running'] as const;
export const terminalStates = ['succeeded', 'failed', 'cancelled', 'expired', 'outcome_unknown'] as const;
export type TerminalState = (typeof terminalStates)[number];
export const jobStates = [...waitingStates, ...terminalStates] as const;
export type JobState = (typeof jobStates)[number];

export function isTerminal(state: JobState): state is TerminalState {
  return (terminalStates as readonly string[]).includes(state);
}

/**
 * What may happen when the worker that called the provider is lost: `retry` asks again (the provider may be paid
 * twice), `at_most_once` never does.
 */
export const deliveries = ['retry', 'at_most_once'] as const;
export type Delivery = (typeof deliveries)[number];

/** Tokens as the provider reported them; absent where it reported nothing usable. */
export interface Usage {
  /** All input, also what the prompt cache read or wrote. */
  inputTokens: number;
  outputTokens: number;
  /** Of the input: read from the prompt cache. */
  cachedInputTokens?: number;
  /** Of the input: written to the prompt cache. */
  cacheWriteTokens?: number;
  /** Of what was written: to be kept for an hour, which costs more. */
  cacheWriteLongTokens?: number;
  /** Of the output: not shown to the caller. */
  reasoningTokens?: number;
}

/** One provider request made for a job, as the job object shows it. */
export const attemptSchema = z.object({
  attempt: z.number().int(),
  provider: z.string().optional(),
  pool: z.string().optional(),
  model: z.string().optional().describe('Model name as the provider knows it.'),
  credential: z.string().describe('Empty when nothing was sent: the job moved on while it waited.'),
  started_at: z.number().describe('Milliseconds since the epoch.'),
  duration_ms: z.number(),
  status: z.number().int().nullable().describe('HTTP status of the provider; null when there was no answer.'),
  result: z.string().describe('`succeeded`, or why it did not: the class of the failure.'),
});
export type Attempt = z.infer<typeof attemptSchema>;

/**
 * How the provider's answer is streamed. `usage_hidden`: the caller did not ask for the usage that we ask for, and does
 * not see it.
 */
export type StreamMode = 'as_is' | 'usage_hidden';

/** Tokens a call is reckoned with before it has run. */
export interface TokenEstimate {
  input: number;
  /** Output that is expected: what its tenant's share is charged. */
  output: number;
  /** Output its ceilings hold: the most it may produce or, where the provider counts real output, seldom exceeds. */
  max: number;
  /** Input before it was corrected by what was learned. */
  linear: number;
  /** The most output it may produce over all its choices, if it names a maximum. */
  asked?: number;
}

/** By what a call is told apart from others of its tenant: limits count by it, and the ledger names it. */
export interface CallAxes {
  /** Id of the virtual key. */
  key: string;
  team?: string | undefined;
  /** Whom the caller makes the call for: `x-sluice-user`, or what the body names. */
  user?: string | undefined;
  /** `x-sluice-feature`. */
  feature?: string | undefined;
  /** Name of the route by which the model was found. */
  route?: string | undefined;
}

/** One place where a job may be run. */
export interface RouteTarget {
  provider: string;
  pool: string;
  /** Model name as the provider knows it. */
  model: string;
  tokens: TokenEstimate;
  /** Retries here before the next target; undefined: as many as any job has. */
  retries?: number;
}

/**
 * Where a job may be run, as it was decided when the job was accepted; kept with its record. The fields `provider`,
 * `pool`, `model` and `tokens` of the record are always those of the target that it is at.
 */
export interface JobRoute {
  /** What the caller named: a route, or a model for which it named fallbacks. Its body says the same. */
  asked: string;
  targets: [RouteTarget, ...RouteTarget[]];
  /** What the next target is tried on: kinds of failure, and status codes of the provider. */
  on: (FallbackCondition | number)[];
  /** How long a job waits in one pool before it moves on. */
  waitOverMs?: number;
  /** From acceptance to the end of the last attempt. */
  timeoutMs?: number;
  quality?: QualitySettings;
}

/** What a caller asked for, as accept stores it. */
export interface JobRequest {
  endpoint: (typeof endpoints)[number];
  /** Model as the caller named it. */
  model: string;
  provider: string;
  pool: string;
  /** The body that goes to the provider: JSON text, the same object that was validated. */
  body: string;
  /** Headers of the caller that go to the provider. */
  headers: Record<string, string>;
  /** 0 is served first, 9 last. */
  priority: number;
  delivery: Delivery;
  metadata: Record<string, string>;
  tokens: TokenEstimate;
  axes: CallAxes;
  /** Whether the provider is asked to stream; undefined: the answer comes whole. */
  stream?: StreamMode | undefined;
  /** Parameters that the provider's dialect has no word for: told to the caller, not stored. */
  dropped?: string[] | undefined;
  /** Endpoint id or URL that is to hear of the end of this job. */
  webhook?: string | undefined;
  /** Where else it may be run; undefined: nowhere. */
  route?: JobRoute | undefined;
  /** The copy that is made of it when it is accepted. */
  mirror?: JobRequest | undefined;
  /** It is such a copy. */
  isCopy?: true;
  /** What the answer is kept as for later calls, if it is. */
  cache?: CacheOrder | undefined;
  /** Maximum of output tokens that the provider is asked for, because a budget counts the call and it names none. */
  outputCap?: number | undefined;
}
