import { hash } from 'node:crypto';
import type { RouteSettings } from '#config/schema.ts';
import type { RouteTarget } from '#shared/contracts/job.ts';
import type { Random } from '#shared/kernel/random.ts';

/** A target that can take the call, with the weight that its route gives it. */
export type WeighedTarget = RouteTarget & { weight: number };

/** What the strategies go by; each is asked only by its own. */
export interface Measures {
  waitMs(target: RouteTarget): number;
  /** Undefined where no price is known. */
  cost(target: RouteTarget): number | undefined;
  /** Undefined where none was seen of late. */
  latencyMs(target: RouteTarget): number | undefined;
  random: Random;
  exploreShare: number;
}

const uint32 = 4_294_967_296;

/** A number in (0, 1) that follows from the text. */
export function uniformOf(text: string): number {
  return (Number.parseInt(hash('sha256', text, 'hex').slice(0, 8), 16) + 0.5) / uint32;
}

/**
 * Puts targets into the order in which they are tried. `seed`: whose calls stay together, or undefined. With weights,
 * the smallest -ln(u)/weight is first, u being uniform per target: each comes first as often as its weight says, and a
 * target that is added or removed moves no call between the others (weighted rendezvous hashing; Efraimidis and
 * Spirakis, "Weighted random sampling with a reservoir", 2006, for the draw).
 */
export function orderTargets(
  strategy: RouteSettings['strategy'],
  targets: readonly WeighedTarget[],
  seed: string | undefined,
  measures: Measures,
): WeighedTarget[] {
  switch (strategy) {
    case 'ordered':
      return [...targets];
    case 'weighted':
      return sortedBy(targets, ({ provider, model, weight }) => {
        const uniform =
          seed === undefined ? 1 - measures.random.next() : uniformOf(`${seed}\n${provider}/${model}`);
        return -Math.log(uniform) / weight;
      });
    case 'shortest_wait':
      return sortedBy(targets, (target) => measures.waitMs(target));
    case 'cost':
      return sortedBy(targets, (target) => measures.cost(target) ?? Number.POSITIVE_INFINITY);
    case 'latency':
      return explored(
        // One of which nothing is known is tried, or nothing would ever be.
        sortedBy(targets, (target) => measures.latencyMs(target) ?? 0),
        measures,
      );
  }
}

/** Equals keep their order. */
function sortedBy(
  targets: readonly WeighedTarget[],
  key: (target: WeighedTarget) => number,
): WeighedTarget[] {
  const keyed = targets.map((target) => ({ target, key: key(target) }));
  // Infinity less itself is no number.
  keyed.sort((left, right) => (left.key === right.key ? 0 : left.key - right.key));
  return keyed.map(({ target }) => target);
}

/** Now and then another target goes first, so that one that has become fast is found. */
function explored(targets: WeighedTarget[], { random, exploreShare }: Measures): WeighedTarget[] {
  if (targets.length < 2 || random.next() >= exploreShare) return targets;
  const [other] = targets.splice(1 + Math.floor(random.next() * (targets.length - 1)), 1);
  return [other!, ...targets];
}
