import type { JobSettings } from '#config/schema.ts';
import type { Attempt, TerminalState, Usage } from '#shared/contracts/job.ts';
import type { OutcomeHead } from '#shared/contracts/outcome.ts';
import { jobEvent, messageIdOf, outboxHoldMs } from '#shared/contracts/webhook.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import { runScript } from '#shared/redis/script.ts';
import { formatLearned, learnedField, untaught } from '#shared/tokens/learned.ts';
import type { JobBodies } from './job-bodies.ts';
import { settleScript } from './scripts.ts';
import type { StoredHead } from './stored-outcome.ts';

export interface Settlement {
  tenant: string;
  state: TerminalState;
  head: OutcomeHead;
  body: Buffer;
  usage: Usage | undefined;
  attempt: Attempt | undefined;
  /** Under which the body is kept outside of the record, if it is. */
  bodyBlob?: string | undefined;
  /** Under which the request of the job is kept; it is not needed after this. */
  requestBlob?: string | undefined;
  /** End the job only while this token holds its lease; undefined: first come, first served. */
  holder?: string | undefined;
  /** End the job only if no worker runs it. */
  onlyWaiting?: boolean;
}

export type Settled =
  /** `woken`: jobs that stand first in the line of a quota of which something is free now. */
  | { kind: 'settled'; waiters: string[]; woken: string[] }
  | { kind: 'already'; state: TerminalState }
  | { kind: 'running'; owner: string }
  | { kind: 'gone' };

const untaughtText = formatLearned(untaught);
const dayMs = 86_400_000;

export interface SettleJobParts {
  redis: RedisConnection;
  settings: JobSettings;
  bodies: JobBodies;
  suppliedNowMs: number | '';
  /** How long the record is kept after its end. */
  retentionMs: number;
}

/** Stores how a job ended, once; may be sent again. */
export async function settleJob(
  { redis, settings, bodies, suppliedNowMs, retentionMs }: SettleJobParts,
  settlement: Settlement,
): Promise<Settled> {
  const { tenant, attempt, bodyBlob, requestBlob } = settlement;
  const head: StoredHead = bodyBlob === undefined ? settlement.head : { ...settlement.head, bodyBlob };
  const messageId = messageIdOf(head.job);
  if (bodyBlob !== undefined) await bodies.noteEnd(tenant, bodyBlob, retentionMs);
  const [kind, detail, ...woken] = await runScript(redis, settleScript, {
    keys: {
      record: keys.job(tenant, head.job),
      open: keys.open(tenant),
      depth: keys.depth(tenant),
      ledger: keys.ledger(tenant),
      learned: keys.learned(tenant),
      outbox: keys.outbox(tenant),
      message: keys.webhookMessage(tenant, messageId),
      subscriptions: keys.webhookSubscriptions(tenant),
      usagePrefix: keys.usage(tenant),
      quota: keys.quota(tenant),
      together: keys.together(tenant, ''),
    },
    args: {
      suppliedNowMs,
      jobId: head.job,
      event: jobEvent[settlement.state],
      messageId,
      outboxHoldMs,
      outboxChannel: keys.outboxChannel(),
      tenant,
      settler: attempt?.attempt ?? '',
      holder: settlement.holder ?? '',
      state: settlement.state,
      onlyWaiting: settlement.onlyWaiting ? '1' : '0',
      retentionMs,
      head: JSON.stringify(head),
      body: bodyBlob === undefined ? settlement.body : '',
      attemptRow: attempt ? JSON.stringify(attempt) : '',
      ...usageArgs(settlement, settings),
    },
  });
  if (requestBlob !== undefined && (kind === 'settled' || kind === 'already'))
    bodies.drop(tenant, requestBlob);
  if (kind === 'settled') return { kind, waiters: detail!.split(' ').filter(Boolean), woken };
  if (kind === 'running') return { kind, owner: detail! };
  if (kind === 'already') return { kind, state: detail as TerminalState };
  return { kind };
}

/** What is charged, and what is learned from it. */
function usageArgs({ head, state, usage, attempt }: Settlement, settings: JobSettings) {
  // An answer from the cache had no attempt, and says nothing of what the next call will use.
  const teaches = usage !== undefined && attempt !== undefined && state === 'succeeded';
  return {
    usage: usage ? JSON.stringify(usage) : '',
    ledgerRowsMax: settings.ledger_rows_max,
    learnedField: teaches ? learnedField(head.provider, head.model) : '',
    provider: head.provider,
    model: head.model,
    usedInput: usage?.inputTokens ?? '',
    usedCached: usage?.cachedInputTokens ?? '',
    usedOutput: usage?.outputTokens ?? '',
    nanoUsd: usage && head.costNanoUsd !== undefined ? head.costNanoUsd : '',
    usageCellsMax: settings.usage_cells_max,
    // The day it is, and as many whole ones after it.
    usageLifeMs: (settings.usage_retention_days + 1) * dayMs,
    untaught: untaughtText,
    learnedMax: settings.learned_models_max,
  };
}
