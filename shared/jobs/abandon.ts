import type { Attempt, RouteTarget, Usage } from '#shared/contracts/job.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import { runScript } from '#shared/redis/script.ts';
import { moveWaitingScript } from './scripts.ts';

/** An attempt that did not end its job. */
export interface Abandoned {
  attempt: Attempt;
  /** Whether the provider refused it for quota: then it does not count as an attempt. */
  refusal: boolean;
  waitReason: string;
  /** The next attempt begins no sooner, milliseconds from now. */
  delayMs: number;
  /** Where the job goes on, if not where it was. */
  moved?: Move | undefined;
  /** What it cost although its answer was of no use; charged with the end of the job. */
  wasted?: { provider: string; model: string; usage: Usage; nanoUsd: number | undefined } | undefined;
}

/** Another target of a job's route. */
export interface Move {
  /** Its index. */
  to: number;
  target: RouteTarget;
}

/** The target as the scripts take it; empty when the job stays where it is. */
function moveFields(move: Move | undefined) {
  const { provider = '', pool = '', model = '', tokens = '' } = move?.target ?? {};
  return { target: move?.to ?? '', provider, pool, model, tokens: tokens && JSON.stringify(tokens) };
}

/** As note-lost.lua writes such rows, with the place that was called. */
function wastedRow({ attempt }: Attempt, wasted: NonNullable<Abandoned['wasted']>): string {
  const { provider, model, usage, nanoUsd = '' } = wasted;
  const { inputTokens, outputTokens, cachedInputTokens = 0 } = usage;
  return `${attempt} ${inputTokens} ${outputTokens} ${cachedInputTokens} ${nanoUsd} ${provider} ${model}`;
}

/** What abandon.lua takes of an attempt. */
export function abandonArgs({ attempt, refusal, waitReason, delayMs, moved, wasted }: Abandoned) {
  return {
    attemptRow: JSON.stringify(attempt),
    refusal: refusal ? '1' : '0',
    waitReason,
    delayMs,
    ...moveFields(moved),
    wasted: wasted ? wastedRow(attempt, wasted) : '',
  };
}

/** Has a job that no worker runs go on at another target; false when it runs, has ended, or is not at `from`. */
export async function moveWaitingJob(
  redis: RedisConnection,
  { tenant, jobId, from }: { tenant: string; jobId: string; from: number },
  move: Move,
  { attempt, waitReason }: Pick<Abandoned, 'attempt' | 'waitReason'>,
): Promise<boolean> {
  const attemptRow = JSON.stringify(attempt);
  const reply = await runScript(redis, moveWaitingScript, {
    keys: { record: keys.job(tenant, jobId) },
    args: { suppliedNowMs: '', from, ...moveFields(move), waitReason, attemptRow },
  });
  return reply === 'moved';
}
