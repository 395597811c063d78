import type { JobSettings } from '#config/schema.ts';
import type { CacheOrder } from '#shared/contracts/cache.ts';
import type { JobRoute } from '#shared/contracts/job.ts';
import {
  type Attempt,
  attemptSchema,
  type Delivery,
  type JobRequest,
  type JobState,
  type TokenEstimate,
  type Usage,
} from '#shared/contracts/job.ts';
import type { OutcomeHead } from '#shared/contracts/outcome.ts';

/** Fields of the record that describe the job without its payload or its answer. */
export const viewFields = [
  'state',
  'endpoint',
  'model',
  'provider',
  'pool',
  'createdMs',
  'deadlineMs',
  'runAtMs',
  'startedMs',
  'finishedMs',
  'attempt',
  'attempts',
  'usage',
  'head',
  'metadata',
  'waitReason',
  'waitQuota',
  'owner',
  'leaseUntilMs',
  'priority',
  'delivery',
  'notBeforeMs',
  'tokens',
  'webhook',
  'requestBlob',
  'route',
  'target',
  'arrivedMs',
] as const;

/** One job as it stands. Times are milliseconds since the epoch by Redis' clock. */
export interface JobView {
  id: string;
  tenant: string;
  state: JobState;
  endpoint: JobRequest['endpoint'];
  model: string;
  provider: string;
  pool: string;
  createdMs: number;
  deadlineMs: number;
  runAtMs: number | undefined;
  startedMs: number | undefined;
  finishedMs: number | undefined;
  attempt: number;
  attempts: Attempt[];
  usage: Usage | undefined;
  head: OutcomeHead | undefined;
  metadata: Record<string, string>;
  waitReason: string | undefined;
  /** Quota that it waits for before its first attempt. */
  waitQuota: string | undefined;
  owner: string | undefined;
  leaseUntilMs: number | undefined;
  /** No attempt begins before it: the provider asked for patience. */
  notBeforeMs: number | undefined;
  priority: number;
  delivery: Delivery;
  tokens: TokenEstimate;
  /** Endpoint or URL that hears of the end of this job, beside those that subscribed. */
  webhook: string | undefined;
  /** Under which its request is kept when it is too large for the record. */
  requestBlob: string | undefined;
  route: JobRoute | undefined;
  /** Index of the target that it is at. */
  target: number;
  /** When it came to that target, if it moved there. */
  arrivedMs: number | undefined;
}

type Values = Record<(typeof viewFields)[number], string | null>;

const numberOr = (value: string | null | undefined) => (value ? Number(value) : undefined);
const jsonOr = <T>(value: string | null | undefined): T | undefined =>
  value ? (JSON.parse(value) as T) : undefined;

/** The view of a record read with HMGET of `viewFields`; undefined when there is no such record. */
export function viewOf(tenant: string, id: string, values: readonly (string | null)[]): JobView | undefined {
  const field = Object.fromEntries(viewFields.map((name, index) => [name, values[index] ?? null])) as Values;
  if (field.state === null) return undefined;
  return {
    id,
    tenant,
    state: field.state as JobState,
    endpoint: field.endpoint as JobView['endpoint'],
    model: field.model ?? '',
    provider: field.provider ?? '',
    pool: field.pool ?? '',
    createdMs: Number(field.createdMs),
    deadlineMs: Number(field.deadlineMs),
    runAtMs: numberOr(field.runAtMs),
    startedMs: numberOr(field.startedMs),
    finishedMs: numberOr(field.finishedMs),
    attempt: Number(field.attempt),
    attempts: (field.attempts ?? '')
      .split('\n')
      .filter(Boolean)
      .map((row) => attemptSchema.parse(JSON.parse(row))),
    usage: jsonOr<Usage>(field.usage),
    head: jsonOr<OutcomeHead>(field.head),
    metadata: jsonOr<Record<string, string>>(field.metadata) ?? {},
    waitReason: field.waitReason ?? undefined,
    waitQuota: field.waitQuota ?? undefined,
    owner: field.owner ?? undefined,
    leaseUntilMs: numberOr(field.leaseUntilMs),
    notBeforeMs: numberOr(field.notBeforeMs),
    priority: Number(field.priority),
    delivery: field.delivery as Delivery,
    tokens: jsonOr<TokenEstimate>(field.tokens) ?? { input: 0, output: 0, max: 0, linear: 0 },
    webhook: field.webhook ?? undefined,
    requestBlob: field.requestBlob ?? undefined,
    route: jsonOr<JobRoute>(field.route),
    target: Number(field.target ?? 0),
    arrivedMs: numberOr(field.arrivedMs),
  };
}

/** What an attempt needs; times are Redis time, milliseconds. */
export interface BegunJob {
  attempt: number;
  nowMs: number;
  endpoint: JobRequest['endpoint'];
  model: string;
  /** Empty when it is kept under `requestBlob`. */
  body: string;
  requestBlob: string | undefined;
  headers: Record<string, string>;
  createdMs: number;
  deadlineMs: number;
  startedMs: number;
  refusals: number;
  delivery: JobRequest['delivery'];
  stream: JobRequest['stream'];
  /** Ingresses that follow the job's events. */
  followers: string[];
  route: JobRoute | undefined;
  /** Index of the target that it is at, and attempts made at those before it; `refusals` are of this one. */
  target: number;
  attemptsBefore: number;
  /** What its answer is kept as for later calls, if it is. */
  cache: CacheOrder | undefined;
  /** Its axes as they stand in the record (CallAxes as JSON), read by few. */
  axesText: string;
  /** Maximum of output tokens to ask for although the body names none. */
  outputCap: number | undefined;
}

/** Fields of the record that `begin` returns after the time of the first start. */
export const begunFields = [
  'endpoint',
  'model',
  'request',
  'headers',
  'createdMs',
  'refusals',
  'delivery',
  'stream',
  'followers',
  'requestBlob',
  'deadlineMs',
  'route',
  'target',
  'attemptsBefore',
  'cache',
  'axes',
  'outputCap',
] as const;

/** What `begin` granted: `values` are the time of the first start and `begunFields`. */
export function begunJobOf(attempt: number, nowMs: number, values: readonly string[]): BegunJob {
  const [
    startedMs,
    endpoint,
    model,
    body,
    headers,
    createdMs,
    refusals,
    delivery,
    stream,
    followers,
    ...rest
  ] = values;
  const [blob, deadlineMs, route, target, attemptsBefore, cache, axesText, outputCap] = rest;
  return {
    attempt,
    nowMs,
    endpoint: endpoint as BegunJob['endpoint'],
    model: model!,
    body: body!,
    requestBlob: blob || undefined,
    headers: JSON.parse(headers!) as Record<string, string>,
    createdMs: Number(createdMs),
    startedMs: Number(startedMs),
    refusals: Number(refusals),
    delivery: delivery as BegunJob['delivery'],
    stream: (stream || undefined) as BegunJob['stream'],
    followers: followers!.split(' ').filter(Boolean),
    deadlineMs: Number(deadlineMs),
    route: jsonOr<JobRoute>(route),
    target: Number(target),
    attemptsBefore: Number(attemptsBefore),
    cache: jsonOr<CacheOrder>(cache),
    axesText: axesText!,
    outputCap: numberOr(outputCap),
  };
}

/** The fields accept writes, flat; `blob`: where the body is, when it is not among them. */
export function requestFields(
  request: JobRequest,
  runAtMs: number | undefined,
  blob: string | undefined,
): string[] {
  return [
    'endpoint',
    request.endpoint,
    'model',
    request.model,
    'provider',
    request.provider,
    'pool',
    request.pool,
    'request',
    blob === undefined ? request.body : '',
    'headers',
    JSON.stringify(request.headers),
    'priority',
    String(request.priority),
    'delivery',
    request.delivery,
    'metadata',
    JSON.stringify(request.metadata),
    'tokens',
    JSON.stringify(request.tokens),
    'axes',
    JSON.stringify(request.axes),
    ...(request.stream === undefined ? [] : ['stream', request.stream]),
    ...(request.webhook === undefined ? [] : ['webhook', request.webhook]),
    ...(request.route === undefined ? [] : ['route', JSON.stringify(request.route)]),
    ...(request.cache === undefined ? [] : ['cache', JSON.stringify(request.cache)]),
    ...(request.outputCap === undefined ? [] : ['outputCap', String(request.outputCap)]),
    ...(runAtMs === undefined ? [] : ['runAtMs', String(runAtMs)]),
    ...(blob === undefined ? [] : ['requestBlob', blob]),
  ];
}

/** How long the record of an ended job is kept: as its tenant says, or for as long as its Idempotency-Key points to it. */
export const recordLifeMs = (
  jobs: Pick<JobSettings, 'retention_seconds' | 'idempotency_seconds'>,
  tenantSeconds?: number,
) => (tenantSeconds ?? Math.max(jobs.retention_seconds, jobs.idempotency_seconds)) * 1_000;
