import { trace } from '@opentelemetry/api';
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { afterEach, describe, expect, test } from 'vitest';
import { otherLabel, ownLabelsMax } from '#shared/telemetry/bounded-labels.ts';
import { createMetrics } from '#shared/telemetry/metrics.ts';
import { OperationsServer } from '#shared/telemetry/operations-server.ts';
import { contextOf, inSpan, queueTelemetry, SpanKind } from '#shared/telemetry/tracing.ts';

describe('metrics', () => {
  const declared = async () => await createMetrics({ processMetrics: false }).registry.getMetricsAsJSON();

  test('every one has a name with its unit, a sentence, and labels that the configuration bounds', async () => {
    const bounded = [
      'tenant',
      'pool',
      'state',
      'code',
      'credential',
      'result',
      'direction',
      'action',
      'part',
      'decision',
      'dimension',
      'window',
      'ceiling',
      'adopted',
      'why',
      'model',
    ];
    for (const { name, help, type } of await declared()) {
      expect(name).toMatch(/^sluice_[a-z_]+$/);
      expect(help).toMatch(/^[A-Z].*\.$/);
      if (String(type) === 'counter') expect(name).toMatch(/_total$/);
      else expect(name).not.toMatch(/_total$/);
      if (String(type) === 'histogram') expect(name).toMatch(/_(?:seconds|bytes|tokens)$/);
    }
    const {
      registry,
      tenantLabel: _label,
      modelLabel: _model,
      ...metrics
    } = createMetrics({ processMetrics: false });
    expect(registry.getMetricsAsArray()).toHaveLength(Object.keys(metrics).length);
    for (const metric of Object.values(metrics)) {
      const { labelNames } = metric as unknown as { labelNames: string[] };
      for (const label of labelNames) expect(bounded).toContain(label);
    }
  });

  test('of so many tenants at most each has a series of its own', async () => {
    const { registry, tenantLabel, jobsAccepted } = createMetrics({ processMetrics: false });
    for (let index = 0; index < 3 * ownLabelsMax; index++)
      jobsAccepted.inc({ tenant: tenantLabel(`tenant ${index}`), pool: 'p' });
    const { values } = await registry.getSingleMetric('sluice_jobs_accepted_total')!.get();
    expect(values).toHaveLength(ownLabelsMax + 1);
    expect(values.find(({ labels }) => labels.tenant === otherLabel)?.value).toBe(2 * ownLabelsMax);
    expect(tenantLabel('tenant 0')).toBe('tenant 0');
  });

  test('two processes in one keep theirs apart', async () => {
    const [one, other] = [createMetrics({ processMetrics: true }), createMetrics({ processMetrics: false })];
    one.jobsAccepted.inc({ tenant: 't', pool: 'p' });
    expect(await one.registry.metrics()).toContain('sluice_jobs_accepted_total{tenant="t",pool="p"} 1');
    expect(await one.registry.metrics()).toContain('process_cpu_seconds_total');
    expect(await other.registry.metrics()).not.toContain('tenant="t"');
  });
});

describe('operations server', () => {
  let server: OperationsServer;
  let ready = true;
  const probe = () => (ready ? Promise.resolve() : Promise.reject(new Error('canary')));
  const start = async () => {
    ready = true;
    server = new OperationsServer({
      host: '127.0.0.1',
      port: 0,
      metrics: createMetrics({ processMetrics: false }),
      probe,
    });
    await server.start();
  };
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`);
    return {
      status: response.status,
      type: response.headers.get('content-type'),
      text: await response.text(),
    };
  };
  afterEach(() => server.stop());

  test('/metrics 200 in the format of Prometheus', async () => {
    await start();
    const { status, type, text } = await get('/metrics');
    expect(status).toBe(200);
    expect(type).toContain('text/plain; version=0.0.4');
    expect(text).toContain('# TYPE sluice_open_calls gauge');
  });

  test('/healthz 200 while the process lives, /readyz 503 without a reason while it cannot work', async () => {
    await start();
    expect(await get('/readyz')).toMatchObject({ status: 200, text: 'ready\n' });
    ready = false;
    expect(await get('/readyz')).toMatchObject({ status: 503, text: 'not ready\n' });
    expect(await get('/healthz')).toMatchObject({ status: 200, text: 'ok\n' });
    expect(await get('/readyz?verbose')).toMatchObject({ status: 503 });
  });

  test('anything else 404', async () => {
    await start();
    expect(await get('/')).toMatchObject({ status: 404 });
  });

  test('a port that is taken fails the start', async () => {
    await start();
    const second = new OperationsServer({
      host: '127.0.0.1',
      port: server.port,
      metrics: createMetrics({ processMetrics: false }),
      probe,
    });
    await expect(second.start()).rejects.toThrow('EADDRINUSE');
    await second.stop();
  });
});

describe('traces', () => {
  const exporter = new InMemorySpanExporter();
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  trace.setGlobalTracerProvider(provider);
  afterEach(() => exporter.reset());
  const recorded = () =>
    JSON.stringify(
      exporter
        .getFinishedSpans()
        .map(({ name, attributes, events, status }) => ({ name, attributes, events, status })),
    );

  test('an error is recorded by its class, never by its message', async () => {
    const failing = inSpan('sluice run', SpanKind.CONSUMER, {}, () =>
      Promise.reject(new TypeError('canary')),
    );
    await expect(failing).rejects.toThrow('canary');
    expect(recorded()).toContain('TypeError');
    expect(recorded()).not.toContain('canary');
  });

  test('without a collector BullMQ makes no spans', async () => {
    expect(await queueTelemetry({ log_level: 'info', otlp_endpoint: undefined })).toBeUndefined();
  });

  test('spans of BullMQ keep what is harmless and lose results and reasons of failures', async () => {
    const telemetry = await queueTelemetry({ log_level: 'info', otlp_endpoint: 'http://127.0.0.1:1' });
    const span = telemetry!.tracer.startSpan('process');
    span.addEvent('job completed', { 'bullmq.job.result': 'canary', 'bullmq.job.id': 'job_1' });
    span.addEvent('job failed', { 'bullmq.job.failed.reason': 'canary' });
    span.addEvent('bare');
    span.setAttributes({
      'bullmq.job.result': 'canary',
      'bullmq.job.failed.reason': 'canary',
      'bullmq.queue.name': 'q',
    });
    span.setAttribute('bullmq.job.result', 'canary');
    span.recordException(new Error('canary'));
    span.end();
    expect(recorded()).not.toContain('canary');
    expect(recorded()).toContain('job_1');
    expect(recorded()).toContain('"bullmq.queue.name":"q"');
    expect(recorded()).toContain('bare');
  });

  test('a ticket without trace context, or with one that cannot be read, starts a trace of its own', () => {
    expect(() => contextOf(undefined)).not.toThrow();
    expect(() => contextOf('not json')).not.toThrow();
    expect(() => contextOf('null')).not.toThrow();
  });
});
