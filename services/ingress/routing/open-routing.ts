import type { Settings } from '#config/schema.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import { derive, type Live } from '#shared/kernel/live-value.ts';
import type { Random } from '#shared/kernel/random.ts';
import type { PoolQueues } from '#shared/queue/pool-queues.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import { LearnedEstimates } from '#shared/tokens/learned-estimates.ts';
import { Prices } from '#shared/tokens/price.ts';
import { ModelTable } from '../model-table.ts';
import { BudgetGauges } from './budget-gauges.ts';
import { CompiledRoutes } from './compiled-routes.ts';
import { PoolGauges } from './pool-gauges.ts';
import { Router } from './router.ts';

export interface RoutingOptions {
  live: Live<Settings>;
  queues: PoolQueues;
  redis: RedisConnection;
  clock: Clock;
  random: Random;
  onError: (part: string) => (error: unknown) => void;
}

/** What finds the places of calls, and what it knows of the pools. */
export function openRouting(options: RoutingOptions): {
  models: Live<ModelTable>;
  router: Router;
  gauges: PoolGauges;
} {
  const { live, queues, redis, clock, random, onError } = options;
  const { jobs: settings } = live.current;
  const learned = new LearnedEstimates({ redis, clock, settings, onError: onError('learned') });
  const models = derive(live, ({ providers }) => new ModelTable(providers, (...of) => learned.of(...of)));
  const routes = derive(live, (now) => new CompiledRoutes(now.routes));
  const budgets = new BudgetGauges({
    get settings() {
      return live.current;
    },
    redis,
    clock,
    onError: onError('budgets'),
  });
  const gauges = new PoolGauges({
    get settings() {
      return live.current;
    },
    get wanted() {
      const pools = routes.current.gaugedModels().flatMap((model) => models.current.poolsOf(model));
      return { pools, latencies: routes.current.asksLatencies };
    },
    queues,
    redis,
    clock,
    onError: onError('gauges'),
  });
  const router = new Router({
    get settings() {
      return live.current;
    },
    get models() {
      return models.current;
    },
    get routes() {
      return routes.current;
    },
    gauges,
    budgets,
    prices: new Prices(live, clock),
    clock,
    random,
  });
  return { models, router, gauges };
}
