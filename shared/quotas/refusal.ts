import type { ErrorCode } from '#shared/kernel/error-catalog.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { Charge, Counted } from './charges.ts';
import type { Dimension, PreparedLimit } from './prepare-limits.ts';

/** Why the script that accepts calls refused one, and how far that quota is used. */
export interface QuotaRefusal {
  kind: 'limited' | 'too_large' | 'crowded';
  index: number;
  used: number;
  retryMs: number;
  counted: readonly Counted[];
}

const codes: Record<Dimension, ErrorCode> = {
  requests: 'request_limited',
  tokens: 'token_limited',
  input_tokens: 'token_limited',
  output_tokens: 'token_limited',
  concurrency: 'rate_limited',
  nano_usd: 'budget_exceeded',
};
const nanoPerUsd = 1_000_000_000;

/** What a quota counts, in the words and units that callers see. */
const unitOf = ({ dimension }: PreparedLimit) => (dimension === 'nano_usd' ? 'usd' : dimension);
const shown = ({ dimension }: PreparedLimit, amount: number) =>
  dimension === 'nano_usd' ? amount / nanoPerUsd : amount;

/** The catalogued error of a call that its quotas do not admit. */
export function refusalOf(charges: readonly Charge[], refusal: QuotaRefusal): SluiceError {
  const { limit: quota, cost } = charges[refusal.index]!;
  const { axis, windowMs } = quota;
  const [limit, current, needed] = [quota.capacity, refusal.used, cost].map((amount) =>
    shown(quota, amount),
  ) as [number, number, number];
  const dimension = unitOf(quota);
  if (refusal.kind === 'too_large')
    return new SluiceError('request_exceeds_limit', { fields: { axis, limit, dimension, needed } });
  const retryAfterMs = refusal.retryMs;
  if (refusal.kind === 'crowded')
    return new SluiceError('too_many_counters', { fields: { axis, current: refusal.used }, retryAfterMs });
  const reset_ms = refusal.counted[refusal.index]?.resetMs ?? retryAfterMs;
  const window_seconds = windowMs / 1_000;
  const fields = { axis, limit, current, dimension, needed, window_seconds, reset_ms };
  return new SluiceError(codes[quota.dimension], { fields, retryAfterMs });
}
