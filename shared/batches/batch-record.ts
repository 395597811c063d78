import type { CallAxes } from '#shared/contracts/job.ts';

export const batchStatuses = [
  'validating',
  'failed',
  'in_progress',
  'finalizing',
  'completed',
  'expired',
  'cancelling',
  'cancelled',
] as const;
export type BatchStatus = (typeof batchStatuses)[number];
export type BatchEnd = Extract<BatchStatus, 'failed' | 'completed' | 'expired' | 'cancelled'>;

/** A mistake in the input file, as OpenAI lists it. */
export interface BatchLineError {
  code: string;
  message: string;
  param: string | null;
  /** From 1; null when it is about the whole file. */
  line: number | null;
}

export interface BatchUsage {
  inputTokens: number;
  cachedTokens: number;
  outputTokens: number;
  reasoningTokens: number;
  nanoUsd: number;
}

/** A batch as it stands. Times are milliseconds since the epoch by Redis' clock. */
export interface BatchRecord {
  id: string;
  tenant: string;
  status: BatchStatus;
  endpoint: string;
  completionWindow: string;
  inputFileId: string;
  metadata: Record<string, string> | null;
  /** Of whoever made it; its lines carry them too. */
  axes: CallAxes;
  model: string | undefined;
  outputFileId: string | undefined;
  errorFileId: string | undefined;
  outputSeconds: number | undefined;
  errors: BatchLineError[] | undefined;
  /** When it came into a state it has been in. */
  atMs: Partial<Record<BatchStatus | 'created' | 'expires', number>>;
  counts: { total: number; completed: number; failed: number };
  /** Of the failed lines: those that were not run because the batch was over. */
  unrun: number;
  usage: BatchUsage;
  /** What has been written so far. */
  outputBytes: number;
  errorBytes: number;
  /** Recent pace of whoever drives it; 0 when there is none yet. */
  linesPerSecond: number;
  /** All lines before it are done. */
  cursor: { line: number; offset: number };
}

const moments = [...batchStatuses, 'created', 'expires'] as const;

/** The record read with HGETALL; undefined when there is none. */
export function batchOf(tenant: string, id: string, field: Record<string, string>): BatchRecord | undefined {
  if (field.status === undefined) return undefined;
  const number = (name: string) => Number(field[name] ?? 0);
  const json = <T>(name: string) => (field[name] ? (JSON.parse(field[name]) as T) : undefined);
  const atMs = moments.flatMap((state) => {
    const at = field[`${state}Ms`];
    return at ? [[state, Number(at)] as const] : [];
  });
  return {
    id,
    tenant,
    status: field.status as BatchStatus,
    endpoint: field.endpoint ?? '',
    completionWindow: field.completionWindow ?? '',
    inputFileId: field.inputFileId ?? '',
    metadata: json<Record<string, string>>('metadata') ?? null,
    axes: json<CallAxes>('axes') ?? { key: '' },
    model: field.model,
    outputFileId: field.outputFileId,
    errorFileId: field.errorFileId,
    outputSeconds: field.outputSeconds ? Number(field.outputSeconds) : undefined,
    errors: json<BatchLineError[]>('errors'),
    atMs: Object.fromEntries(atMs),
    counts: { total: number('total'), completed: number('completed'), failed: number('failed') },
    unrun: number('unrun'),
    usage: {
      inputTokens: number('inputTokens'),
      cachedTokens: number('cachedTokens'),
      outputTokens: number('outputTokens'),
      reasoningTokens: number('reasoningTokens'),
      nanoUsd: number('nanoUsd'),
    },
    outputBytes: number('outputBytes'),
    errorBytes: number('errorBytes'),
    linesPerSecond: number('linesPerSecond'),
    cursor: { line: number('cursorLine'), offset: number('cursorOffset') },
  };
}
