import type { IncomingHttpHeaders } from 'node:http';
import type { RuleFacts } from '#config/schema.ts';
import type { CallAxes } from '#shared/contracts/job.ts';
import type { PoolGauge } from './pool-gauges.ts';

/** Longest value of a header that rules see; of a longer one its beginning. */
const valueMax = 1_000;

/** The headers that rules may read. */
export function readRuleHeaders(
  headers: IncomingHttpHeaders,
  allowed: readonly string[],
): Record<string, string> {
  const read: Record<string, string> = {};
  for (const name of allowed) {
    const value = headers[name];
    if (value !== undefined) read[name] = String(value).slice(0, valueMax);
  }
  return read;
}

export interface FactsOfCall {
  asked: string;
  tenant: string;
  axes: CallAxes;
  metadata: Record<string, string>;
  headers: Record<string, string>;
}

export function ruleFacts(
  { asked, tenant, axes, metadata, headers }: FactsOfCall,
  {
    nowMs,
    inputTokens,
    gauge,
    budgetUsed,
  }: { nowMs: number; inputTokens: number; gauge: PoolGauge; budgetUsed: number },
): RuleFacts {
  return {
    model: asked,
    tenant,
    key: axes.key,
    team: axes.team ?? '',
    user: axes.user ?? '',
    feature: axes.feature ?? '',
    hour: new Date(nowMs).getUTCHours(),
    budget_used: budgetUsed,
    tokens: { input: inputTokens },
    pool: { wait_ms: gauge.waitMs, depth: gauge.depth },
    headers,
    metadata,
  };
}
