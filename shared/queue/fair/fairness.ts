import { fairKeys } from '#shared/redis/keys.ts';
import type { FairQueueBackend } from './fair-backend.ts';

/** Lanes and jobs in hand that one look takes in; of more, the lanes served least and the leases that end first. */
const lanesMax = 1_000;
const inHandMax = 1_000;
const headsMax = 50;
/** Members of lanes, and of the set of lanes, begin with 12 digits of sequence (lanes.lua). */
const nameOf = (member: string) => member.slice(12);
const ticketPattern = /^\S+ \S+ \S+ (\d+) (\d+) (\d+) /;

/** A job: what its lane is charged for it, and the most it may come to, both over the lane's weight. */
interface Charge {
  tenant: string;
  charge: number;
  most: number;
}

export interface Standings {
  /** Counters of the lanes that compete, by member: a lane keeps its member for as long as it has work. */
  counters: Map<string, number>;
  inHand: Charge[];
  /** The jobs that are next in the lanes that are next. */
  heads: Charge[];
}

/** What one token of input and of output weigh in a lane's counter. */
export interface TokenWeights {
  input: number;
  output: number;
}

export async function readStandings(backend: FairQueueBackend, weights: TokenWeights): Promise<Standings> {
  const queueKey = backend.keys['']!;
  const keys = fairKeys(queueKey);
  const client = await backend.client;
  const ask = <T>(command: string, ...args: unknown[]) => client.runCommand(command, args) as Promise<T>;
  const flat = await ask<string[]>('zrange', keys.lanes, 0, lanesMax - 1, 'WITHSCORES');
  const counters = new Map<string, number>();
  for (let index = 0; index < flat.length; index += 2) counters.set(flat[index]!, Number(flat[index + 1]));
  const leases = await ask<string[]>('zrange', keys.leases, 0, inHandMax - 1);
  const chargeOf = async (tenant: string, jobId: string): Promise<Charge> => {
    const [ticket, settings] = await Promise.all([
      ask<string | null>('hget', `${queueKey}${jobId}`, 'ticket'),
      ask<string | null>('hget', keys.tenants, tenant),
    ]);
    const [, input, output, max] = ticketPattern.exec(ticket ?? '') ?? [];
    const weight = Number(settings?.split(' ')[0] ?? 1);
    const cost = (tokens: number) => (weights.input * Number(input ?? 0) + weights.output * tokens) / weight;
    const charge = cost(Number(output ?? 0));
    return { tenant, charge, most: Math.max(charge, cost(Number(max ?? 0))) };
  };
  const inHand = leases.map((lease) => {
    const [, jobId, tenant] = lease.split('\n') as [string, string, string];
    return chargeOf(tenant, jobId);
  });
  const heads = [...counters.keys()].slice(0, headsMax).map(async (member) => {
    const tenant = nameOf(member);
    const [head = ''] = await ask<string[]>('zrange', `${keys.jobs}${tenant}`, 0, 0);
    return chargeOf(tenant, nameOf(head));
  });
  return { counters, inHand: await Promise.all(inHand), heads: await Promise.all(heads) };
}

/** A waiting job, picked at random; undefined when none waits. */
export async function pickWaiting(
  backend: FairQueueBackend,
): Promise<{ tenant: string; jobId: string } | undefined> {
  const keys = fairKeys(backend.keys['']!);
  const client = await backend.client;
  const pick = async (key: string) =>
    ((await client.runCommand('zrandmember', [key])) as string | null) ?? undefined;
  const lane = await pick(keys.lanes);
  const job = lane === undefined ? undefined : await pick(`${keys.jobs}${nameOf(lane)}`);
  return lane === undefined || job === undefined ? undefined : { tenant: nameOf(lane), jobId: nameOf(job) };
}

/** How far the counters of the lanes moved that had work all the time between two looks: their weighted service. */
export function servedBetween(before: Standings, after: Standings): number[] {
  return [...after.counters].flatMap(([member, counter]) => {
    const earlier = before.counters.get(member);
    return earlier === undefined ? [] : [Math.max(0, counter - earlier)];
  });
}

/** Jain's index (Jain, Chiu, Hawe 1984): 1 when all are equal, 1/n when one has everything. */
export function jainIndex(values: readonly number[]): number {
  const sum = values.reduce((total, value) => total + value, 0);
  const squares = values.reduce((total, value) => total + value * value, 0);
  return squares === 0 ? 1 : sum ** 2 / (values.length * squares);
}

/** Gini coefficient: 0 when all are equal, (n - 1) / n when one has everything. */
export function giniCoefficient(values: readonly number[]): number {
  const sum = values.reduce((total, value) => total + value, 0);
  if (sum === 0) return 0;
  const sorted = values.toSorted((a, b) => a - b);
  const ranked = sorted.reduce(
    (total, value, index) => total + (2 * (index + 1) - sorted.length - 1) * value,
    0,
  );
  return ranked / (sorted.length * sum);
}

/** Distance between the lane served most and the one served least. */
export function gapOf({ counters }: Standings): number {
  return counters.size < 2 ? 0 : Math.max(...counters.values()) - Math.min(...counters.values());
}

/**
 * What the gap stays under, as far as one look tells: C + 2E (fair-backend.ts). C is the largest charge of one job, E the
 * largest sum of what the jobs in hand of one lane may yet be corrected by: back to nothing, or up to the most.
 */
export function gapBoundOf({ inHand, heads }: Standings): number {
  const corrections = new Map<string, number>();
  for (const { tenant, charge, most } of inHand)
    corrections.set(tenant, (corrections.get(tenant) ?? 0) + Math.max(charge, most - charge));
  const largestCharge = Math.max(0, ...[...inHand, ...heads].map(({ charge }) => charge));
  return largestCharge + 2 * Math.max(0, ...corrections.values());
}
