import type { Charge, Counted } from './charges.ts';
import type { Dimension, PreparedLimit } from './prepare-limits.ts';

interface Standing {
  limit: number;
  remaining: number;
  resetMs: number;
  windowMs: number;
  axis: string;
}

const tokenDimensions: readonly Dimension[] = ['tokens', 'input_tokens', 'output_tokens'];

/** Whether headers have a word for what a quota counts. */
export const isTold = ({ dimension }: PreparedLimit) =>
  dimension === 'requests' || tokenDimensions.includes(dimension);

/** The quota of these dimensions that has least left. */
function tightest(
  dimensions: readonly Dimension[],
  charges: readonly Charge[],
  counted: readonly Counted[],
): Standing | undefined {
  let found: Standing | undefined;
  for (const [index, { limit }] of charges.entries()) {
    const state = counted[index];
    if (!state || !dimensions.includes(limit.dimension)) continue;
    const remaining = Math.max(0, limit.capacity - state.used);
    if (found && found.remaining <= remaining) continue;
    const { capacity, windowMs, axis } = limit;
    found = { limit: capacity, remaining, resetMs: state.resetMs, windowMs, axis };
  }
  return found;
}

/** As Go prints a duration and OpenAI sends it: `6m0s`, `1.5s`, `20ms`. */
export function goDuration(ms: number): string {
  if (ms === 0) return '0s';
  if (ms < 1_000) return `${ms}ms`;
  const hours = Math.floor(ms / 3_600_000);
  const minutes = Math.floor(ms / 60_000) % 60;
  const seconds = `${(ms % 60_000) / 1_000}s`;
  if (hours > 0) return `${hours}h${minutes}m${seconds}`;
  return minutes > 0 ? `${minutes}m${seconds}` : seconds;
}

function openaiHeaders(unit: 'requests' | 'tokens', standing: Standing | undefined): Record<string, string> {
  if (!standing) return {};
  return {
    [`x-ratelimit-limit-${unit}`]: String(standing.limit),
    [`x-ratelimit-remaining-${unit}`]: String(standing.remaining),
    [`x-ratelimit-reset-${unit}`]: goDuration(standing.resetMs),
  };
}

/**
 * How the caller stands, by the quotas of its own that have least left: in OpenAI's headers, and for requests in those of
 * draft-ietf-httpapi-ratelimit-headers, for which tokens are no registered unit. A caller without such quotas is told
 * nothing.
 */
export function rateHeaders(charges: readonly Charge[], counted: readonly Counted[]): Record<string, string> {
  const requests = tightest(['requests'], charges, counted);
  const tokens = tightest(tokenDimensions, charges, counted);
  const headers = { ...openaiHeaders('requests', requests), ...openaiHeaders('tokens', tokens) };
  if (!requests) return headers;
  const { limit, remaining, windowMs, axis } = requests;
  const resetSeconds = Math.ceil(requests.resetMs / 1_000);
  // The names of an older draft ride along as parameters, for parsers that know no others.
  const older = `limit=${limit};remaining=${remaining};reset=${resetSeconds}`;
  return {
    ...headers,
    'ratelimit-policy': `"${axis}";q=${limit};w=${Math.ceil(windowMs / 1_000)}`,
    ratelimit: `"${axis}";r=${remaining};t=${resetSeconds};${older}`,
  };
}
