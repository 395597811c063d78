import type { IncomingHttpHeaders } from 'node:http';
import type { JobSettings } from '#config/schema.ts';
import { type Delivery, deliveries } from '#shared/contracts/job.ts';
import { SluiceError } from '#shared/kernel/errors.ts';

/** How the caller wants its answer: held open for `waitMs`, or later. */
export interface Door {
  kind: 'await' | 'deferred';
  /** Longest wait the caller asked for, cut to the configured bound, milliseconds; undefined when it named none. */
  waitMs: number | undefined;
  /** What Preference-Applied says. */
  applied: string | undefined;
}

export interface CallOptions {
  door: Door;
  idempotencyKey: string | undefined;
  priority: number;
  delivery: Delivery;
  deadlineSeconds: number | undefined;
  runAtMs: number | undefined;
  /** Endpoint id or URL that is to hear of the end of the job, not checked yet. */
  webhook: string | undefined;
  /** Whether a caller that hangs up leaves its job running. */
  continueOnDisconnect: boolean;
  /** Whether the body of an awaited answer is to say how it came about. */
  extraFields: boolean;
}

/** Where a value came from decides what its refusal is called. */
export type ValueSource = 'header' | 'body';

function invalid(name: string, reason: string, source: ValueSource = 'header'): SluiceError {
  if (source === 'body')
    return new SluiceError('invalid_request', { fields: { reason: `${name}: ${reason}` }, param: name });
  return new SluiceError('invalid_header', { fields: { header: name, reason }, param: name });
}

const one = (value: string | string[] | undefined) => (Array.isArray(value) ? value.join(', ') : value);

/** RFC 7240 preferences we know; unknown ones are ignored, as the RFC asks. */
export function readDoor(prefer: string | undefined, awaitMaxSeconds: number): Door {
  const preferences = (prefer ?? '')
    .split(/[,;]/)
    .map((part) => part.trim().toLowerCase())
    .filter(Boolean);
  const wait = preferences.find((preference) => /^wait\s*(=|$)/.test(preference));
  if (wait !== undefined) {
    const [, seconds] = /^wait\s*=\s*"?(\d{1,5})"?$/.exec(wait) ?? [];
    if (seconds === undefined)
      throw invalid('prefer', 'wait must be a whole number of seconds, such as wait=30');
    const held = Math.min(Number(seconds), awaitMaxSeconds);
    if (!preferences.includes('respond-async') || held > 0) {
      return { kind: 'await', waitMs: held * 1_000, applied: `wait=${held}` };
    }
  }
  if (preferences.includes('respond-async'))
    return { kind: 'deferred', waitMs: undefined, applied: 'respond-async' };
  return { kind: 'await', waitMs: undefined, applied: undefined };
}

const classPriority = new Map([
  ['interactive', 0],
  ['batch', 5],
]);

export function readPriority(value: string | undefined): number {
  if (value === undefined) return 0;
  const priority = classPriority.get(value) ?? (/^\d$/.test(value) ? Number(value) : undefined);
  if (priority === undefined)
    throw invalid('x-sluice-priority', 'use interactive, batch, or a digit from 0 (first) to 9 (last)');
  return priority;
}

function readDeadline(value: string | undefined, maxSeconds: number): number | undefined {
  if (value === undefined) return undefined;
  const seconds = /^\d{1,8}$/.test(value) ? Number(value) : 0;
  if (seconds < 1 || seconds > maxSeconds)
    throw invalid('x-sluice-deadline', `use whole seconds from 1 to ${maxSeconds}`);
  return seconds;
}

const rfc3339 = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;

function momentMs(value: string): number {
  if (/^\d{9,11}$/.test(value)) return Number(value) * 1_000;
  return rfc3339.test(value) ? Date.parse(value) : Number.NaN;
}

/** Earliest start: RFC 3339, or seconds since the epoch; milliseconds since the epoch. Must come before `latestMs`. */
export function readRunAt(
  value: string | undefined,
  name: string,
  latestMs: number,
  source: ValueSource = 'header',
): number | undefined {
  if (value === undefined) return undefined;
  const ms = momentMs(value);
  if (Number.isNaN(ms)) throw invalid(name, 'use an RFC 3339 time, or seconds since 1970', source);
  if (ms > latestMs) throw invalid(name, 'the job would expire before it starts', source);
  return ms;
}

function readChoice<T extends string>(
  value: string | undefined,
  name: string,
  choices: readonly T[],
  preset: T,
): T {
  if (value === undefined) return preset;
  if (!(choices as readonly string[]).includes(value)) throw invalid(name, `use ${choices.join(' or ')}`);
  return value as T;
}

export function readIdempotencyKey(
  value: string | undefined,
  name = 'idempotency-key',
  source: ValueSource = 'header',
): string | undefined {
  if (value === undefined) return undefined;
  if (value.length === 0 || value.length > 255) throw invalid(name, 'use 1 to 255 characters', source);
  return value;
}

/** Reads every header by which a call says how it wants to be served. @throws SluiceError invalid_header */
export function readCallOptions(
  headers: IncomingHttpHeaders,
  jobs: Pick<JobSettings, 'await_max_seconds' | 'deadline_max_seconds'>,
  nowMs: number,
): CallOptions {
  const header = (name: string) => one(headers[name]);
  const deadlineSeconds = readDeadline(header('x-sluice-deadline'), jobs.deadline_max_seconds);
  const latestMs = nowMs + (deadlineSeconds ?? jobs.deadline_max_seconds) * 1_000;
  return {
    door: readDoor(header('prefer'), jobs.await_max_seconds),
    idempotencyKey: readIdempotencyKey(header('idempotency-key')),
    priority: readPriority(header('x-sluice-priority')),
    delivery: readChoice(header('x-sluice-delivery'), 'x-sluice-delivery', deliveries, 'retry'),
    deadlineSeconds,
    runAtMs: readRunAt(header('x-sluice-run-at'), 'x-sluice-run-at', latestMs),
    webhook: header('x-sluice-webhook'),
    continueOnDisconnect:
      readChoice(
        header('x-sluice-on-disconnect'),
        'x-sluice-on-disconnect',
        ['cancel', 'continue'],
        'cancel',
      ) === 'continue',
    extraFields:
      readChoice(header('x-sluice-extra-fields'), 'x-sluice-extra-fields', ['true', 'false'], 'false') ===
      'true',
  };
}

/** Headers of the caller that a provider understands; nothing else is passed on. */
const passedHeaders = ['anthropic-version', 'anthropic-beta', 'openai-beta'];

export function readPassedHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  const passed: Record<string, string> = {};
  for (const name of passedHeaders) {
    const value = one(headers[name]);
    if (value !== undefined && value.length <= 500) passed[name] = value;
  }
  return passed;
}
