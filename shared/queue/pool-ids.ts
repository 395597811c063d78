import type { Settings } from '#config/schema.ts';
import type { PoolId } from './pool-queue.ts';

/** Pools of all providers that have a credential. */
export function poolIds(settings: Pick<Settings, 'providers'>): PoolId[] {
  const usable = Object.entries(settings.providers).filter(([, { credentials }]) => credentials.length > 0);
  return usable.flatMap(([provider, { pools }]) => Object.keys(pools).map((pool) => ({ provider, pool })));
}
