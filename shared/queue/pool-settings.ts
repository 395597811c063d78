import { createHash } from 'node:crypto';
import type { ProviderSettings, Settings } from '#config/schema.ts';
import type { PoolSettings, TenantSettings } from './fair/pool-config.ts';
import type { PoolId } from './pool-queue.ts';

const dayMs = 86_400_000;
/** Stands for the amount of a ceiling that is yet to be learned; large, so that what is scaled from it is exact. */
const nominalAmount = 1_000_000_000;

/** How a pool is shared and what its provider allows, as the scripts take it. */
export function poolSettingsOf(
  { providers }: Pick<Settings, 'providers'>,
  id: PoolId,
): Partial<PoolSettings> {
  const provider = providers[id.provider]!;
  const pool = provider.pools[id.pool]!;
  const credentials = provider.credentials.map(({ id: credential, api_key, weight, limit_scope }) => ({
    id: credential,
    revision: revisionOf(api_key),
    scope: limit_scope ?? credential,
    weight,
  }));
  const ceilings = ceilingsOf(pool);
  return {
    inputWeight: pool.input_weight,
    outputWeight: pool.output_weight,
    accounting: pool.token_accounting,
    burndown: pool.burndown,
    guardMs: pool.guard_ms,
    breaker: breakerOf(pool),
    ...growthOf(pool),
    paused: pool.mode === 'paused',
    credentials,
    scopes: Object.fromEntries(credentials.map(({ scope }) => [scope, ceilings])),
  };
}

/** The part of the guard that may pass before a request is sent; the rest is for its way to the provider. */
const sendShare = 0.4;
/** Even without a guard a grant may take this long to be sent. */
const shortestGrantMs = 50;
/** How old a grant of the pool may be when its request is sent, milliseconds; undefined where no rate is limited. */
export function grantAgeMaxMs(pool: ProviderSettings['pools'][string]): number | undefined {
  if (!ceilingsOf(pool).some(({ dimension }) => dimension !== 'concurrency')) return undefined;
  return Math.max(pool.guard_ms * sendShare, shortestGrantMs);
}

/** Tells one key from another without telling the key. */
const revisionOf = (apiKey: string) => createHash('sha256').update(apiKey).digest('hex').slice(0, 8);

function breakerOf({ breaker, ramp }: ProviderSettings['pools'][string]): PoolSettings['breaker'] {
  return {
    failuresMax: breaker.failures_max,
    openMs: breaker.open_ms,
    openMaxMs: breaker.open_max_ms,
    probeMs: breaker.probe_ms,
    billingMs: breaker.billing_probe_ms,
    rampShare: ramp.start_share,
    rampMs: ramp.recovery_ms,
    growth: ramp.growth,
    growthMs: ramp.growth_ms,
  };
}

function growthOf({ ramp }: ProviderSettings['pools'][string]): Pick<PoolSettings, 'growth'> {
  if (ramp.free_input_tokens === undefined) return {};
  return { growth: { freePerMinute: ramp.free_input_tokens, most: ramp.growth, periodMs: ramp.growth_ms } };
}

function ceilingsOf(pool: ProviderSettings['pools'][string]): PoolSettings['scopes'][string] {
  const { auto, rpm, tpm, itpm, otpm, rpd, tpd, concurrency } = pool.ceilings;
  const windowMs = pool.window_seconds * 1_000;
  const sliceMs = pool.slice_ms;
  const rows = [
    { dimension: 'requests', amount: rpm, windowMs, sliceMs },
    { dimension: 'tokens', amount: tpm, windowMs, sliceMs },
    { dimension: 'input_tokens', amount: itpm, windowMs, sliceMs },
    { dimension: 'output_tokens', amount: otpm, windowMs, sliceMs },
    { dimension: 'requests', amount: rpd, windowMs: dayMs, sliceMs: undefined },
    { dimension: 'tokens', amount: tpd, windowMs: dayMs, sliceMs: undefined },
    { dimension: 'concurrency', amount: concurrency, windowMs, sliceMs: undefined },
  ] as const;
  return rows.flatMap(({ amount, ...row }): PoolSettings['scopes'][string] => {
    const isLearned = auto && row.dimension !== 'concurrency';
    if (amount !== undefined) return [{ ...row, amount, auto: isLearned, known: true }];
    return isLearned ? [{ ...row, amount: nominalAmount, auto: true, known: false }] : [];
  });
}

/** Weights and caps of all tenants. */
export function tenantSettingsOf({ customers }: Pick<Settings, 'customers'>): Record<string, TenantSettings> {
  const entries = Object.entries(customers).map(([tenant, { weight, concurrency_max, paused }]) => [
    tenant,
    { weight, concurrency: concurrency_max, paused },
  ]);
  return Object.fromEntries(entries) as Record<string, TenantSettings>;
}
