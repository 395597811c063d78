import { openRedis, type RedisConnection, untilReady } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import { reconcileDay } from '#shared/usage/reconcile.ts';
import type { JudgedCall } from '../judge/judged-call.ts';
import { readArrivals } from '../judge/read-arrivals.ts';
import type { BatchSystem } from './batch-system.ts';
import { tenant } from './workload.ts';

const rowsPerRead = 5_000;
/** Redis may still be busy with what it was left with. */
const patienceMs = 60_000;

/** What the provider has seen and what the ledger says, beside the lines. */
export interface Accounts {
  providerCalls: number;
  /** Lines the provider was never asked for, and calls that belong to no line. */
  linesNotCalled: number;
  callsOfNoLine: number;
  /** Lines that were called more than once: of those who died before they could keep an answer. */
  linesCalledAgain: number;
  ledgerRows: number;
  /** Lines that succeeded and have no row or several, and rows whose tokens no call of their job has used. */
  linesNotChargedOnce: number;
  rowsOfNoCall: number;
  /** Counters of the usage of a day that are not the sum of its ledger. */
  usageDiscrepancies: number;
}

interface LedgerRow {
  kind: string;
  job: string;
  inputTokens: number;
  outputTokens: number;
}

async function readLedger(redis: RedisConnection): Promise<LedgerRow[]> {
  const rows: LedgerRow[] = [];
  for (let from = '-'; ; ) {
    const page = await redis.xrange(keys.ledger(tenant), from, '+', 'COUNT', rowsPerRead);
    for (const [, values] of page) {
      const field = (name: string) => values[values.indexOf(name) + 1] ?? '';
      const [inputTokens, outputTokens] = [Number(field('inputTokens')), Number(field('outputTokens'))];
      rows.push({ kind: field('kind'), job: field('job'), inputTokens, outputTokens });
    }
    if (page.length < rowsPerRead) return rows;
    from = `(${page.at(-1)![0]}`;
  }
}

async function discrepancies(redis: RedisConnection): Promise<number> {
  const [seconds] = await redis.time();
  const today = Math.floor(Number(seconds) / 86_400);
  const days = await Promise.all([today - 1, today].map((day) => reconcileDay(redis, tenant, day)));
  return days.flat().length;
}

const isOf = ({ inputTokens, outputTokens }: LedgerRow, calls: readonly JudgedCall[]) =>
  calls.some((call) => call.inputTokens === inputTokens && call.outputTokens === outputTokens);

/** Compares the calls of the provider, the ledger and the usage with the jobs of the lines. */
export async function checkAccounts(
  { provider, redis: server, settings }: BatchSystem,
  jobs: ReadonlySet<string>,
  succeeded: number,
): Promise<Accounts> {
  const redis = openRedis(
    server.url,
    { ...settings.redis, command_timeout_ms: patienceMs },
    'commands',
    'load',
  );
  try {
    await untilReady(redis, patienceMs);
    const calls = Map.groupBy(await readArrivals(provider.url, () => tenant), ({ job }) => job);
    const ledger = await readLedger(redis);
    const settled = Map.groupBy(
      ledger.filter(({ kind }) => kind === 'settled'),
      ({ job }) => job,
    );
    const chargedOnce = [...settled].filter(([job, rows]) => jobs.has(job) && rows.length === 1).length;
    return {
      providerCalls: [...calls.values()].reduce((sum, { length }) => sum + length, 0),
      linesNotCalled: [...jobs].filter((job) => !calls.has(job)).length,
      callsOfNoLine: [...calls.keys()].filter((job) => !jobs.has(job)).length,
      linesCalledAgain: [...calls.values()].filter(({ length }) => length > 1).length,
      ledgerRows: ledger.length,
      linesNotChargedOnce: succeeded - chargedOnce,
      rowsOfNoCall: ledger.filter((row) => !isOf(row, calls.get(row.job) ?? [])).length,
      usageDiscrepancies: await discrepancies(redis),
    };
  } finally {
    redis.disconnect();
  }
}
