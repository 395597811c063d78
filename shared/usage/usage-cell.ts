import type { CallAxes } from '#shared/contracts/job.ts';

/** By what usage can be told apart, beside the tenant and the day. */
export const usageAxes = ['key', 'team', 'user', 'feature', 'route', 'provider', 'model'] as const;
export type UsageAxis = (typeof usageAxes)[number];

/**
 * What is counted, in the order in which settle.lua writes it. Wasted is what was paid for without being anybody's
 * answer: attempts of lost workers, and answers that came when the job had ended; it is not among the rest.
 */
export const counterNames = [
  'calls',
  'failures',
  'inputTokens',
  'cachedTokens',
  'outputTokens',
  'nanoUsd',
  'unpriced',
  'wastedTokens',
  'wastedNanoUsd',
] as const;
export type UsageCounters = Record<(typeof counterNames)[number], number>;

/** One field of the hash of a day: calls with the same axes. */
export interface UsageCell {
  axes: Partial<Record<UsageAxis, string>>;
  counters: UsageCounters;
}

export const noCounters = (): UsageCounters =>
  Object.fromEntries(counterNames.map((name) => [name, 0])) as UsageCounters;

export function addCounters(into: UsageCounters, more: UsageCounters): void {
  for (const name of counterNames) into[name] += more[name];
}

const doubleBytes = 8;

/**
 * A field as settle.lua writes it: the axes of the record as JSON, the provider and the model, on a line each; its value: a
 * double for each counter.
 */
export function parseCell(field: string, value: Buffer): UsageCell {
  const [axes = '{}', provider = '', model = ''] = field.split('\n');
  const { key, team, user, feature, route } = JSON.parse(axes) as Partial<CallAxes>;
  const named = Object.entries({ key, team, user, feature, route, provider, model });
  const counters = counterNames.map((name, index) => [name, value.readDoubleLE(index * doubleBytes)]);
  return {
    axes: Object.fromEntries(named.filter(([, name]) => name !== undefined)),
    counters: Object.fromEntries(counters) as UsageCounters,
  };
}
