import type { DrainPlan } from './drain-plan.ts';
import { modelOf } from './workload.ts';

const drainMs = 5_000;
const deepestQueue = 1_000_000;

/**
 * The configuration of Sluice for a plan: the only place that knows its keys. Ceilings, accounting and weights are
 * written with `plan.ceilings` only, so that a run without them shows what unpaced calls do to a provider.
 */
export function productConfiguration(plan: DrainPlan, simulatorUrl: string): Record<string, unknown> {
  const anthropic = plan.endpoint === '/v1/messages';
  return {
    http: { host: '127.0.0.1', port: 0, body_max_bytes: 67_108_864 },
    operations: { port: 0 },
    telemetry: { log_level: 'info' },
    jobs: {
      refusals_max: 10_000,
      attempts_max: 20,
      lease_ms: 5_000,
      lease_beat_ms: 1_000,
      takeover_grace_ms: 2_000,
    },
    workers: { drain_ms: drainMs, stop_timeout_ms: 2 * drainMs, stalled_check_ms: 2_000, lock_ms: 10_000 },
    providers: {
      load: {
        dialect: anthropic ? 'anthropic' : 'openai',
        base_url: anthropic ? simulatorUrl : `${simulatorUrl}/v1`,
        credentials: plan.credentials.map(({ id, key }) => ({ id, api_key: key })),
        pools: {
          chat: {
            models: [modelOf(plan.endpoint)],
            concurrency: plan.concurrency,
            ...(plan.ceilings ? ceilingKeys(plan) : {}),
          },
        },
      },
    },
    customers: Object.fromEntries(
      plan.tenants.map(({ name, key, weight }) => [
        name,
        {
          max_queue_depth: deepestQueue,
          keys: [{ id: 'load', key }],
          ...(plan.ceilings ? { weight } : {}),
        },
      ]),
    ),
  };
}

function ceilingKeys(plan: DrainPlan): Record<string, unknown> {
  const amounts = {
    rpm: { rpm: plan.amount },
    tpm: { tpm: plan.amount },
    'itpm-otpm': { itpm: plan.amount, otpm: plan.outputAmount },
  };
  return {
    ceilings: { ...amounts[plan.dimension], ...(plan.auto ? { auto: true } : {}) },
    window_seconds: plan.windowSeconds,
    token_accounting: plan.dimension === 'itpm-otpm' ? 'input_plus_output_actual' : 'input_plus_max',
    ...(plan.shape === 'slices' ? { slice_ms: plan.sliceMs } : {}),
  };
}
