import { hash } from 'node:crypto';
import type { Settings } from '#config/schema.ts';
import type { CallAxes, TokenEstimate } from '#shared/contracts/job.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import { type Dimension, type PreparedLimit, prepareLimits } from './prepare-limits.ts';

/** What is known of a call when it is accepted. */
export interface CountedCall {
  axes: CallAxes;
  /** Undefined when it is not a call yet: limits that depend on it are left out. */
  place: { provider: string; model: string } | undefined;
  /** Estimated input tokens. */
  input: number;
  /** Output tokens it may produce at most, or, when it names no maximum, is expected not to exceed. */
  output: number;
  /** Whether `output` is only an expectation. */
  isOpen: boolean;
  /** The most it may cost, billionths of a USD; undefined when no price is known. Asked only where a budget counts it. */
  price: () => number | undefined;
}

/** The output that quotas hold for a call: what it asked for, or an expectation of `openTokens` or more. */
export function heldOutput(
  { asked, output, max }: TokenEstimate,
  openTokens: number,
): Pick<CountedCall, 'output' | 'isOpen'> {
  if (asked !== undefined) return { output: asked, isOpen: false };
  // An endpoint without output is estimated with none.
  const isOpen = Math.max(output, max) > 0;
  return { output: isOpen ? Math.max(output, max, openTokens) : 0, isOpen };
}

/** One counter that a call is charged to, with what is reserved of it. */
export interface Charge {
  limit: PreparedLimit;
  /** Completes the prefix of the key. */
  counter: string;
  cost: number;
}

/** How far a counter is used. */
export interface Counted {
  used: number;
  /** Until all of it is free again, milliseconds. */
  resetMs: number;
}

/** Pairs of amount and time, as the scripts reply them. */
export function countedOf(numbers: readonly number[]): Counted[] {
  return numbers.flatMap((used, index) =>
    index % 2 === 0 ? [{ used, resetMs: numbers[index + 1] ?? 0 }] : [],
  );
}

/** Charges as the scripts read them. */
export function encodeCharges(
  charges: readonly Charge[],
  settings: Pick<Settings['quotas'], 'counters_max' | 'recheck_ms'>,
): string | undefined {
  if (charges.length === 0) return undefined;
  const rows = charges.map(({ limit: quota, counter, cost }) => {
    const { counting, dimension, limit, windowMs, detail, full, spread, axis } = quota;
    const label = `${axis} ${dimension === 'nano_usd' ? 'budget' : dimension}`;
    return [counter, counting, dimension, limit, cost, windowMs, detail, full, spread, label];
  });
  return JSON.stringify([settings.counters_max, settings.recheck_ms, rows]);
}

function costOf(dimension: Dimension, { input, output, price }: CountedCall): number | undefined {
  switch (dimension) {
    case 'requests':
    case 'concurrency':
      return 1;
    case 'tokens':
      return input + output;
    case 'input_tokens':
      return input;
    case 'output_tokens':
      return output;
    case 'nano_usd':
      return price();
  }
}

type Values = Partial<Record<string, string>>;

function chargeOf(limit: PreparedLimit, values: Values, call: CountedCall): Charge | undefined {
  for (const [axis, matches] of limit.match) if (!matches(values[axis] ?? '')) return undefined;
  const isPlaced = (axis: string) => axis !== 'provider' && axis !== 'model';
  if (!call.place && !limit.per.every(isPlaced)) return undefined;
  const own = limit.per.map((axis) => values[axis] ?? '');
  const counter = own.length === 0 ? limit.id : `${limit.id}:${digest(own)}`;
  const cost = costOf(limit.dimension, call);
  if (cost === undefined && limit.unpriced === 'refuse')
    throw new SluiceError('price_unknown', { fields: { model: call.place!.model }, param: 'model' });
  // An expectation refuses no call for good: it holds as much as there ever is.
  const held = call.isOpen ? Math.min(cost ?? 0, limit.capacity) : (cost ?? 0);
  return { limit, counter, cost: held };
}

const digest = (values: readonly string[]) =>
  hash('sha256', JSON.stringify(values), 'base64url').slice(0, 22);

type Customer = Settings['customers'][string];
type Key = Customer['keys'][number];
const keysOf = new WeakMap<Customer, Map<string, Key>>();

/** One virtual key of a customer by its id, however many there are. */
export function keyById(customer: Customer, id: string): Key | undefined {
  const known = keysOf.get(customer) ?? new Map(customer.keys.map((key) => [key.id, key]));
  keysOf.set(customer, known);
  return known.get(id);
}

/** With the team of the key, where nobody has named it. */
function withTeam(customer: Customer | undefined, axes: CallAxes): CallAxes {
  const team = axes.team ?? (customer && keyById(customer, axes.key)?.team);
  return team === undefined ? axes : { ...axes, team };
}

/** All limits that a call of this tenant is held to: those of its customer, its team and its key. */
function limitsFor(customers: Settings['customers'], tenant: string, axes: CallAxes): PreparedLimit[] {
  const customer = customers[tenant];
  if (!customer) return [];
  const key = keyById(customer, axes.key);
  const team = axes.team === undefined ? undefined : customer.teams[axes.team];
  return [
    ...prepareLimits({ tier: 'customer', id: tenant }, customer),
    ...(team ? prepareLimits({ tier: 'team', id: axes.team! }, team) : []),
    ...(key ? prepareLimits({ tier: 'key', id: key.id }, key) : []),
  ];
}

/** Axes that are known only once a call has its place. */
const placed: readonly string[] = ['provider', 'model', 'route'];

/** Whether a budget may count a call of this caller, wherever it goes. */
export function isBudgeted(customers: Settings['customers'], tenant: string, callAxes: CallAxes): boolean {
  const axes = withTeam(customers[tenant], callAxes);
  const values: Values = { ...axes };
  return limitsFor(customers, tenant, axes).some(
    ({ dimension, match }) =>
      dimension === 'nano_usd' &&
      match.every(([axis, matches]) => placed.includes(axis) || matches(values[axis] ?? '')),
  );
}

/**
 * What a call is charged when it is accepted; nothing for a caller without quotas. Pure: whether it fits is for the
 * script that accepts it to say.
 *
 * @throws SluiceError price_unknown when a budget counts the call and nobody knows what it may cost
 */
export function chargesOf(customers: Settings['customers'], tenant: string, call: CountedCall): Charge[] {
  const axes = withTeam(customers[tenant], call.axes);
  const limits = limitsFor(customers, tenant, axes);
  if (limits.length === 0) return [];
  const values: Values = { ...axes, ...call.place };
  return limits.flatMap((limit) => chargeOf(limit, values, call) ?? []);
}
