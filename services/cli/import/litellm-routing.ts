import type { Fields } from '#shared/peers/fields.ts';

/** What LiteLLM's `router_settings` and `litellm_settings` say of the way of calls. */
export interface Routing {
  strategy: string;
  retries: number | undefined;
  /** Longest time of one provider request. */
  totalMs: number | undefined;
  /** Names to fall back on, by the name that is called; `*` for all. */
  fallbacks: Map<string, string[]>;
  aliases: { alias: string; of: string; note: (reason: string) => void }[];
}

/** Their strategies and the nearest of ours. */
const strategies: Record<string, string> = {
  'simple-shuffle': 'weighted',
  'least-busy': 'shortest_wait',
  'usage-based-routing': 'shortest_wait',
  'usage-based-routing-v2': 'shortest_wait',
  'latency-based-routing': 'latency',
  'cost-based-routing': 'cost',
};

export function litellmRouting(fields: Fields): Routing {
  const router = fields.within('router_settings');
  const settings = fields.within('litellm_settings');
  const fallbacks = new Map<string, string[]>();
  const both = [router, settings].filter((each) => each !== undefined);
  for (const each of both) {
    for (const name of ['fallbacks', 'context_window_fallbacks', 'content_policy_fallbacks'])
      readFallbacks(each, name, fallbacks);
    const presets = each.texts('default_fallbacks');
    if (presets) fallbacks.set('*', presets);
  }
  const seconds = first(both, 'timeout') ?? first(both, 'request_timeout');
  const routing: Routing = {
    strategy: readStrategy(router),
    retries: first(both, 'num_retries'),
    totalMs: seconds === undefined ? undefined : Math.round(seconds * 1_000),
    fallbacks,
    aliases: readAliases(router),
  };
  if (router) leaveRouter(router);
  if (settings) leaveSettings(settings);
  return routing;
}

function first(groups: readonly Fields[], name: string): number | undefined {
  return groups.map((each) => each.number(name)).find((value) => value !== undefined);
}

function readStrategy(router: Fields | undefined): string {
  const said = router?.text('routing_strategy');
  if (said === undefined) return 'weighted';
  const ours = strategies[said];
  if (ours === undefined) router!.note('routing_strategy', 'is not known; targets are chosen by weight');
  if (said.startsWith('usage-based'))
    router!.note('routing_strategy', 'whose queue is shortest comes first, which goes by use as well');
  return ours ?? 'weighted';
}

/** `[{ "gpt-4o": ["claude"] }]` */
function readFallbacks(group: Fields, name: string, into: Map<string, string[]>): void {
  const entries = group.each(name);
  if (entries.length > 0 && name !== 'fallbacks')
    group.note(name, 'a route has one list of fallbacks, for all reasons alike');
  for (const entry of entries) {
    for (const model of entry.names) {
      const names = entry.texts(model) ?? [];
      into.set(model, [...new Set([...(into.get(model) ?? []), ...names])]);
    }
  }
}

/** `{ "gpt-4": "gpt-4o" }`, or with an object that has the name in `model`. */
function readAliases(router: Fields | undefined): Routing['aliases'] {
  const group = router?.within('model_group_alias');
  return (group?.names ?? []).flatMap((alias) => {
    const given = group!.take(alias);
    const of = typeof given === 'string' ? given : (given as { model?: unknown } | undefined)?.model;
    const note = (reason: string) => group!.note(alias, reason);
    if (typeof of === 'string') return [{ alias, of, note }];
    note('names no model');
    return [];
  });
}

function leaveRouter(router: Fields): void {
  for (const name of ['redis_host', 'redis_port', 'redis_password', 'redis_url', 'redis_db'])
    router.leave(name, 'Sluice has one Redis for everything: REDIS_URL');
  for (const name of ['allowed_fails', 'cooldown_time', 'allowed_fails_policy', 'disable_cooldowns'])
    router.leave(name, 'when a credential is left alone, and for how long, is set by `breaker` of its pool');
  router.leave('retry_after', 'a Retry-After of the provider is always waited for');
  router.leave('enable_pre_call_checks', 'every ceiling is looked at before every call');
  router.leave('optional_pre_call_checks', 'every ceiling is looked at before every call');
  router.end();
}

function leaveSettings(settings: Fields): void {
  for (const name of ['max_budget', 'budget_duration'])
    settings.leave(name, 'budgets belong to customers, teams and keys');
  settings.leave('drop_params', 'parameters go to the provider as they are');
  for (const name of ['set_verbose', 'json_logs', 'success_callback', 'failure_callback', 'callbacks'])
    settings.leave(name, 'logs, metrics and traces are set under `telemetry`');
  settings.leave('telemetry', 'nothing is sent home');
  settings.end();
}
