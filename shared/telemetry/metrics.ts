import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { BoundedLabels } from './bounded-labels.ts';

const waitBuckets = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200, 86_400,
];

/** What providers let us do, and what that is found out from. */
interface LimitMetrics {
  providerLimits: Gauge<'pool' | 'credential' | 'dimension' | 'window'>;
  limitChanges: Counter<'pool' | 'credential' | 'ceiling' | 'adopted'>;
  foreignUse: Counter<'pool' | 'credential' | 'ceiling'>;
  credentialCooldowns: Counter<'pool' | 'credential'>;
  breakerChanges: Counter<'pool' | 'credential' | 'state'>;
  breakerOpen: Gauge<'pool' | 'credential' | 'why'>;
}

/** How fairly pools are shared: reported by the one worker that holds the lease of the pool. */
interface FairnessMetrics {
  waitingJobs: Gauge<'pool'>;
  fairnessGini: Gauge<'pool'>;
  fairnessJain: Gauge<'pool'>;
  fairnessGap: Gauge<'pool'>;
  fairnessGapBound: Gauge<'pool'>;
  startEstimateErrorSeconds: Histogram<'pool' | 'direction'>;
}

/** Answers that are given again. */
interface CacheMetrics {
  cacheCalls: Counter<'tenant' | 'result'>;
  semanticFailures: Counter<'result'>;
  cacheBytes: Counter<'tenant'>;
  cacheSaved: Counter<'tenant'>;
  cacheStores: Counter<'tenant' | 'result'>;
  callsShared: Counter<'tenant'>;
}

/** Every metric of Sluice. Units are in the names; labels are bounded by the configuration, tenants and models by `tenantLabel` and `modelLabel`. */
export interface Metrics extends LimitMetrics, FairnessMetrics, CacheMetrics {
  registry: Registry;
  /** The label `tenant` of a tenant. */
  tenantLabel: (tenant: string) => string;
  /** The label `model` of a model, which callers name. */
  modelLabel: (model: string) => string;
  dispatchDecisions: Counter<'tenant' | 'pool' | 'credential' | 'decision'>;
  jobsAccepted: Counter<'tenant' | 'pool'>;
  jobsFinished: Counter<'tenant' | 'pool' | 'state'>;
  callsRefused: Counter<'code'>;
  openCalls: Gauge;
  openSockets: Gauge;
  attempts: Counter<'pool' | 'credential' | 'result'>;
  lateGrants: Counter<'pool'>;
  moved: Counter<'pool' | 'result'>;
  mirrored: Counter<'result'>;
  queueWaitSeconds: Histogram<'pool'>;
  providerSeconds: Histogram<'pool'>;
  tokens: Counter<'tenant' | 'pool' | 'model' | 'direction'>;
  cost: Counter<'tenant' | 'pool' | 'model'>;
  runningJobs: Gauge<'pool'>;
  settleRetries: Counter;
  swept: Counter<'action'>;
  backgroundErrors: Counter<'part'>;
  webhookAttempts: Counter<'result'>;
  webhookSeconds: Histogram;
  webhookBacklog: Gauge;
  webhookOldestSeconds: Gauge;
  configReloads: Counter<'result'>;
  configReloadOk: Gauge;
  configPendingRestart: Gauge;
  overlayVersion: Gauge;
  overlayDocumentsSkipped: Gauge;
}

/** How metrics are declared on one registry. */
function declarations(registry: Registry) {
  const registers = [registry];
  return {
    counter: <Label extends string>(name: string, help: string, ...labelNames: Label[]) =>
      new Counter({ name, help, labelNames, registers }),
    gauge: <Label extends string>(name: string, help: string, ...labelNames: Label[]) =>
      new Gauge({ name, help, labelNames, registers }),
    histogram: <Label extends string>(name: string, help: string, ...labelNames: Label[]) =>
      new Histogram({ name, help, labelNames, buckets: waitBuckets, registers }),
  };
}

/** Declares all metrics on a registry of their own. Call once per process. */
export function createMetrics(options: { processMetrics: boolean }): Metrics {
  const registry = new Registry();
  if (options.processMetrics) collectDefaultMetrics({ register: registry });
  const declare = declarations(registry);
  const { counter, gauge } = declare;
  const tenants = new BoundedLabels();
  const models = new BoundedLabels();
  return {
    registry,
    tenantLabel: (tenant) => tenants.of(tenant),
    modelLabel: (model) => models.of(model),
    dispatchDecisions: counter(
      'sluice_dispatch_decisions_total',
      'Decisions about the call whose turn it is: granted, oversize, or what it waits for.',
      'tenant',
      'pool',
      'credential',
      'decision',
    ),
    ...jobMetrics(declare),
    ...routingMetrics(declare),
    ...fairnessMetrics(declare),
    ...limitMetrics(counter, gauge),
    ...configurationMetrics(declare),
    ...webhookMetrics(declare),
    ...cacheMetrics(declare),
  };
}

function cacheMetrics({ counter }: ReturnType<typeof declarations>): CacheMetrics {
  return {
    cacheCalls: counter(
      'sluice_cache_calls_total',
      'Calls by what the cache had to do with them: hit, semantic_hit, miss, refresh or off.',
      'tenant',
      'result',
    ),
    semanticFailures: counter(
      'sluice_cache_semantic_failures_total',
      'Questions that could not be compared, and were a miss: failed, or timeout.',
      'result',
    ),
    cacheBytes: counter('sluice_cache_bytes_total', 'Bytes of answers that came from the cache.', 'tenant'),
    cacheSaved: counter(
      'sluice_cache_saved_usd_total',
      'US dollars that answers from the cache would have cost, where prices are known.',
      'tenant',
    ),
    cacheStores: counter(
      'sluice_cache_stores_total',
      'Answers that were to be kept: stored, unfit (cut short, or calls tools), too_large, busy (too many at once) or failed.',
      'tenant',
      'result',
    ),
    callsShared: counter(
      'sluice_calls_shared_total',
      'Calls that were answered by the job of an identical call that was held open.',
      'tenant',
    ),
  };
}

function configurationMetrics({ counter, gauge }: ReturnType<typeof declarations>) {
  return {
    configReloads: counter(
      'sluice_config_reloads_total',
      'Times the configuration was read again: applied, unchanged, or refused because it cannot be used.',
      'result',
    ),
    configReloadOk: gauge(
      'sluice_config_reload_ok',
      'Whether the configuration file could be used when it was last read: 1 or 0.',
    ),
    configPendingRestart: gauge(
      'sluice_config_pending_restart',
      'Settings that were changed in the file and need a restart.',
    ),
    overlayVersion: gauge(
      'sluice_overlay_version',
      'Version of the settings changed while running that this process has in force.',
    ),
    overlayDocumentsSkipped: gauge(
      'sluice_overlay_documents_skipped',
      'Settings changed while running that this process does not use, because they cannot be read or are not valid.',
    ),
  };
}

function jobMetrics({ counter, gauge, histogram }: ReturnType<typeof declarations>) {
  return {
    jobsAccepted: counter('sluice_jobs_accepted_total', 'Jobs made durable.', 'tenant', 'pool'),
    jobsFinished: counter(
      'sluice_jobs_finished_total',
      'Jobs that reached a terminal state.',
      'tenant',
      'pool',
      'state',
    ),
    callsRefused: counter(
      'sluice_calls_refused_total',
      'Requests answered with an error of the catalogue.',
      'code',
    ),
    openCalls: gauge('sluice_open_calls', 'Calls this ingress holds open.'),
    openSockets: gauge('sluice_open_sockets', 'WebSockets this ingress holds open.'),
    attempts: counter(
      'sluice_attempts_total',
      'Provider requests by result.',
      'pool',
      'credential',
      'result',
    ),
    lateGrants: counter(
      'sluice_late_grants_total',
      'Grants given back unused, because the request would have been sent too late.',
      'pool',
    ),
    queueWaitSeconds: histogram(
      'sluice_queue_wait_seconds',
      'Time from acceptance to the first attempt.',
      'pool',
    ),
    providerSeconds: histogram('sluice_provider_seconds', 'Time of one provider request.', 'pool'),
    tokens: counter(
      'sluice_tokens_total',
      'Tokens settled, by direction: input, output, and of the input what the prompt cache read (cached).',
      'tenant',
      'pool',
      'model',
      'direction',
    ),
    cost: counter(
      'sluice_cost_usd_total',
      'What settled calls have cost, as far as their prices are known.',
      'tenant',
      'pool',
      'model',
    ),
    runningJobs: gauge('sluice_running_jobs', 'Jobs this worker runs.', 'pool'),
    settleRetries: counter(
      'sluice_settle_retries_total',
      'Times a finished answer could not be stored at once.',
    ),
    swept: counter('sluice_swept_total', 'Jobs the sweeper mended, by action.', 'action'),
    backgroundErrors: counter(
      'sluice_background_errors_total',
      'Errors of parts that no caller waits for.',
      'part',
    ),
  };
}

function routingMetrics({ counter }: ReturnType<typeof declarations>) {
  return {
    moved: counter(
      'sluice_moved_jobs_total',
      'Jobs that left a pool for the next target of their route, and why.',
      'pool',
      'result',
    ),
    mirrored: counter(
      'sluice_mirrored_calls_total',
      'Copies of calls that a route mirrors: sent, or left out because there was no room for them.',
      'result',
    ),
  };
}

function fairnessMetrics({ gauge, histogram }: ReturnType<typeof declarations>): FairnessMetrics {
  return {
    waitingJobs: gauge('sluice_waiting_jobs', 'Jobs that wait in the pool.', 'pool'),
    fairnessGini: gauge(
      'sluice_fairness_gini',
      'Gini coefficient of weighted service among lanes that had work all the time since the last look; 0 is equal.',
      'pool',
    ),
    fairnessJain: gauge(
      'sluice_fairness_jain',
      'Jain index of weighted service among lanes that had work all the time since the last look; 1 is equal.',
      'pool',
    ),
    fairnessGap: gauge(
      'sluice_fairness_gap_tokens',
      'Weighted service between the lane served most and the one served least, of those that have work.',
      'pool',
    ),
    fairnessGapBound: gauge(
      'sluice_fairness_gap_bound_tokens',
      'What the gap stays under, from the jobs in hand and next: the largest since this worker reports.',
      'pool',
    ),
    startEstimateErrorSeconds: histogram(
      'sluice_start_estimate_error_seconds',
      'Distance between the start that was foretold for a waiting job and its real start; direction: foretold too_early or too_late.',
      'pool',
      'direction',
    ),
  };
}

type Declare<Metric extends 'counter' | 'gauge'> = <Label extends string>(
  name: string,
  help: string,
  ...labelNames: Label[]
) => Metric extends 'counter' ? Counter<Label> : Gauge<Label>;

function limitMetrics(counter: Declare<'counter'>, gauge: Declare<'gauge'>): LimitMetrics {
  return {
    providerLimits: gauge(
      'sluice_provider_limit',
      'Limits as the provider names them in its answers, by window (minute, day).',
      'pool',
      'credential',
      'dimension',
      'window',
    ),
    limitChanges: counter(
      'sluice_limit_changes_total',
      'Times the provider named another limit than was known; adopted: it holds from then on.',
      'pool',
      'credential',
      'ceiling',
      'adopted',
    ),
    credentialCooldowns: counter(
      'sluice_credential_cooldowns_total',
      'Times a credential was held back because the provider refused a call on it.',
      'pool',
      'credential',
    ),
    breakerChanges: counter(
      'sluice_breaker_changes_total',
      'Changes of circuit breakers (open, billing, ramp, closed); credential * is the whole pool.',
      'pool',
      'credential',
      'state',
    ),
    breakerOpen: gauge(
      'sluice_breaker_open',
      'Is 1 while nothing is sent on a credential, by why: open (it failed), billing (money stops it).',
      'pool',
      'credential',
      'why',
    ),
    foreignUse: counter(
      'sluice_foreign_use_total',
      'Use of a ceiling by somebody else with the same key, as far as it was found out.',
      'pool',
      'credential',
      'ceiling',
    ),
  };
}

function webhookMetrics({ counter, gauge, histogram }: ReturnType<typeof declarations>) {
  return {
    webhookAttempts: counter(
      'sluice_webhook_attempts_total',
      'Attempts to deliver a webhook by result; dropped: too many waited already.',
      'result',
    ),
    webhookSeconds: histogram('sluice_webhook_seconds', 'Time of one attempt to deliver a webhook.'),
    webhookBacklog: gauge(
      'sluice_webhook_backlog',
      'Deliveries on their way, of all tenants; every process reports the whole.',
    ),
    webhookOldestSeconds: gauge('sluice_webhook_oldest_seconds', 'Age of the oldest delivery on its way.'),
  };
}
