import type { Settings } from '#config/schema.ts';
import type { CacheMode, CacheOrder } from '#shared/contracts/cache.ts';
import type { JobRequest } from '#shared/contracts/job.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { CacheWish } from './cache-wish.ts';

type Policy = NonNullable<Settings['customers'][string]['cache']>;

/** How one call uses the cache. */
export interface CachePlan extends Omit<CacheOrder, 'key' | 'semantic'> {
  mode: Exclude<CacheMode, 'off'>;
  /** Whether an answer that is there may be used. */
  lookup: boolean;
  threshold: number;
  charged: boolean;
}

type Customer = Settings['customers'][string];
/** What is configured for the keys of each customer that says anything of the cache; made once per configuration. */
const policies = new WeakMap<Customer, Map<string, Policy>>();

function policiesOf(customer: Customer): Map<string, Policy> {
  const known = policies.get(customer);
  if (known) return known;
  const own = customer.keys.filter(({ cache }) => cache !== undefined);
  const made = new Map(own.map(({ id, cache }) => [id, { ...customer.cache, ...cache }]));
  policies.set(customer, made);
  return made;
}

/** What is configured for a call: the settings of its route, over those of its key, over those of its customer. */
function policyOf({ customers, routes }: Settings, { tenant, request }: Caller): Policy | undefined {
  const { key, route } = request.axes;
  const customer = customers[tenant];
  const ofKey = customer && (policiesOf(customer).get(key) ?? customer.cache);
  const ofRoute = route === undefined ? undefined : routes[route]?.cache;
  return ofRoute && ofKey ? { ...ofKey, ...ofRoute } : (ofRoute ?? ofKey);
}

/** Whether a call shares its job with identical ones that are held open meanwhile, and where those find it. */
export function sharedUnder(
  settings: Settings,
  caller: Caller,
  wish: CacheWish | undefined,
): { namespace: string; readersMax: number } | undefined {
  const policy = policyOf(settings, caller);
  if (!settings.cache.enabled || !(wish?.coalesce ?? policy?.coalesce)) return undefined;
  const namespace = wish?.namespace ?? policy?.namespace ?? 'default';
  return { namespace, readersMax: settings.cache.readers_max };
}

export interface Caller {
  tenant: string;
  request: Pick<JobRequest, 'axes'>;
}

/**
 * How a call uses the cache, from what is configured and what it says itself; `off` when it does not although somebody
 * spoke of it, undefined when nobody did.
 *
 * @throws SluiceError invalid_header
 */
export function planOf(
  settings: Settings,
  caller: Caller,
  wish: CacheWish | undefined,
): CachePlan | 'off' | undefined {
  const policy = policyOf(settings, caller);
  if (!policy && !wish) return undefined;
  const { cache } = settings;
  const configured = policy?.mode ?? 'off';
  const asked = wish?.mode === 'refresh' ? (configured === 'off' ? 'exact' : configured) : wish?.mode;
  const mode = asked ?? configured;
  if (!cache.enabled || mode === 'off') return 'off';
  if (wish?.mode === 'semantic' && cache.semantic.model === undefined) throw noSemanticCache();
  const ttlSeconds = Math.min(
    wish?.ttlSeconds ?? policy?.ttl_seconds ?? cache.ttl_seconds,
    cache.ttl_max_seconds,
  );
  return {
    mode,
    // The calls of a paused tenant wait.
    lookup:
      wish?.mode !== 'refresh' && wish?.fresh === undefined && !settings.customers[caller.tenant]?.paused,
    namespace: wish?.namespace ?? policy?.namespace ?? 'default',
    ttlMs: ttlSeconds * 1_000,
    threshold: wish?.threshold ?? policy?.threshold ?? cache.semantic.threshold,
    charged: policy?.hits === 'charged',
    truncated: policy?.store_truncated ?? false,
    toolCalls: policy?.store_tool_calls ?? false,
  };
}

function noSemanticCache(): SluiceError {
  const header = 'x-sluice-cache';
  const reason = 'no embedding model is configured here (cache.semantic.model)';
  return new SluiceError('invalid_header', { fields: { header, reason }, param: header });
}
