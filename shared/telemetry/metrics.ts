import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

const waitBuckets = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200, 86_400,
];

/** Every metric of Sluice. Units are in the names; labels are bounded by the configuration. */
export interface Metrics {
  registry: Registry;
  jobsAccepted: Counter<'tenant' | 'pool'>;
  jobsFinished: Counter<'tenant' | 'pool' | 'state'>;
  callsRefused: Counter<'code'>;
  openCalls: Gauge;
  attempts: Counter<'pool' | 'credential' | 'result'>;
  queueWaitSeconds: Histogram<'pool'>;
  providerSeconds: Histogram<'pool'>;
  tokens: Counter<'tenant' | 'pool' | 'direction'>;
  runningJobs: Gauge<'pool'>;
  settleRetries: Counter;
  swept: Counter<'action'>;
  backgroundErrors: Counter<'part'>;
}

/** Declares all metrics on a registry of their own. Call once per process. */
export function createMetrics(options: { processMetrics: boolean }): Metrics {
  const registry = new Registry();
  const registers = [registry];
  if (options.processMetrics) collectDefaultMetrics({ register: registry });
  return {
    registry,
    jobsAccepted: new Counter({
      name: 'sluice_jobs_accepted_total',
      help: 'Jobs made durable.',
      labelNames: ['tenant', 'pool'],
      registers,
    }),
    jobsFinished: new Counter({
      name: 'sluice_jobs_finished_total',
      help: 'Jobs that reached a terminal state.',
      labelNames: ['tenant', 'pool', 'state'],
      registers,
    }),
    callsRefused: new Counter({
      name: 'sluice_calls_refused_total',
      help: 'Requests answered with an error of the catalogue.',
      labelNames: ['code'],
      registers,
    }),
    openCalls: new Gauge({ name: 'sluice_open_calls', help: 'Calls this ingress holds open.', registers }),
    attempts: new Counter({
      name: 'sluice_attempts_total',
      help: 'Provider requests by result.',
      labelNames: ['pool', 'credential', 'result'],
      registers,
    }),
    queueWaitSeconds: new Histogram({
      name: 'sluice_queue_wait_seconds',
      help: 'Time from acceptance to the first attempt.',
      labelNames: ['pool'],
      buckets: waitBuckets,
      registers,
    }),
    providerSeconds: new Histogram({
      name: 'sluice_provider_seconds',
      help: 'Time of one provider request.',
      labelNames: ['pool'],
      buckets: waitBuckets,
      registers,
    }),
    tokens: new Counter({
      name: 'sluice_tokens_total',
      help: 'Tokens settled, by direction (input, output).',
      labelNames: ['tenant', 'pool', 'direction'],
      registers,
    }),
    runningJobs: new Gauge({
      name: 'sluice_running_jobs',
      help: 'Jobs this worker runs.',
      labelNames: ['pool'],
      registers,
    }),
    settleRetries: new Counter({
      name: 'sluice_settle_retries_total',
      help: 'Times a finished answer could not be stored at once.',
      registers,
    }),
    swept: new Counter({
      name: 'sluice_swept_total',
      help: 'Jobs the sweeper mended, by action.',
      labelNames: ['action'],
      registers,
    }),
    backgroundErrors: new Counter({
      name: 'sluice_background_errors_total',
      help: 'Errors of parts that no caller waits for.',
      labelNames: ['part'],
      registers,
    }),
  };
}
