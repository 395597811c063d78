import {
  type Attributes,
  type Context,
  context,
  ProxyTracerProvider,
  propagation,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import type { Telemetry } from 'bullmq';
import type { Settings } from '#config/schema.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';

/** Names of all spans. */
export const spans = {
  accept: 'sluice accept',
  run: 'sluice run',
  attempt: 'sluice attempt',
} as const;

const quietPaths = ['/healthz', '/readyz', '/metrics'];

/** Undefined when nobody collects spans: a call is spared the making of spans that go nowhere. */
function tracer(): Tracer | undefined {
  const provider = trace.getTracerProvider();
  return provider instanceof ProxyTracerProvider
    ? provider.getDelegateTracer('sluice')
    : provider.getTracer('sluice');
}

/**
 * Starts tracing when a collector is configured; call it before Fastify is imported. Without one no OpenTelemetry
 * code runs at all.
 */
export async function startTracing(
  telemetry: Settings['telemetry'],
  serviceName: string,
): Promise<Service | undefined> {
  if (!telemetry.otlp_endpoint) return undefined;
  const [{ NodeSDK }, { HttpInstrumentation }] = await Promise.all([
    import('@opentelemetry/sdk-node'),
    import('@opentelemetry/instrumentation-http'),
  ]);
  const http = new HttpInstrumentation({
    ignoreIncomingRequestHook: (request) => quietPaths.includes(request.url ?? ''),
    // Spans around provider requests are our own; a provider is never sent trace headers.
    disableOutgoingRequestInstrumentation: true,
    // Google's SDKs may put the key into the query, pages put their ticket there.
    redactedQueryParamsServer: ['key', 'ticket'],
  });
  // Without `metricReaders` the SDK would also send metrics, which prom-client already does.
  const sdk = new NodeSDK({ serviceName, metricReaders: [], instrumentations: [http] });
  sdk.start();
  return { name: 'tracing', start: async () => undefined, stop: () => sdk.shutdown() };
}

/** Runs `task` inside a span; errors are recorded by class, never by message (it may hold a prompt). */
export async function inSpan<T>(
  name: string,
  kind: SpanKind,
  attributes: Attributes,
  task: () => Promise<T>,
  parent?: Context,
): Promise<T> {
  const active = tracer();
  if (!active) return task();
  return active.startActiveSpan(name, { kind, attributes }, parent ?? context.active(), async (span) => {
    try {
      return await task();
    } catch (error) {
      span.setStatus({ code: SpanStatusCode.ERROR, message: error instanceof Error ? error.name : 'error' });
      throw error;
    } finally {
      span.end();
    }
  });
}

/** Notes something that happened on the span that is under way; without one, or without a collector, nothing. */
export function noteEvent(name: string, attributes: Attributes): void {
  trace.getActiveSpan()?.addEvent(name, attributes);
}

/** The trace context that travelled with a ticket; one that cannot be read starts a trace of its own. */
export function contextOf(traceMetadata: string | undefined): Context {
  if (!traceMetadata) return context.active();
  try {
    return propagation.extract(context.active(), JSON.parse(traceMetadata));
  } catch {
    return context.active();
  }
}

export { SpanKind };

type BullSpan = ReturnType<Telemetry<Context>['tracer']['startSpan']>;

/** Attributes of bullmq-otel that would carry results and reasons of failures into traces. */
const leakingAttributes = new Set(['bullmq.job.result', 'bullmq.job.failed.reason']);

function withoutLeaks<T extends object>(attributes: T | undefined): T {
  return Object.fromEntries(
    Object.entries(attributes ?? {}).filter(([key]) => !leakingAttributes.has(key)),
  ) as T;
}

/** The span, closed to everything that may hold an answer or a prompt. */
function closeLeaks(span: BullSpan): BullSpan {
  const addEvent = span.addEvent.bind(span);
  const setAttribute = span.setAttribute.bind(span);
  const setAttributes = span.setAttributes.bind(span);
  const recordException = span.recordException.bind(span);
  span.addEvent = (name, attributes) => addEvent(name, withoutLeaks(attributes));
  span.setAttributes = (attributes) => setAttributes(withoutLeaks(attributes));
  span.setAttribute = (key, value) => {
    if (!leakingAttributes.has(key)) setAttribute(key, value);
  };
  span.recordException = (error, time) =>
    recordException({ name: error instanceof Error ? error.name : 'error', message: '' }, time);
  return span;
}

/** bullmq-otel without what leaks; undefined when tracing is off, so that BullMQ skips its spans. */
export async function queueTelemetry(telemetry: Settings['telemetry']): Promise<Telemetry | undefined> {
  if (!telemetry.otlp_endpoint) return undefined;
  const { BullMQOtel } = await import('bullmq-otel');
  const inner = new BullMQOtel({ tracerName: 'bullmq' }) as Telemetry<Context>;
  const startSpan: Telemetry<Context>['tracer']['startSpan'] = (...args) =>
    closeLeaks(inner.tracer.startSpan(...args));
  return { contextManager: inner.contextManager, tracer: { startSpan } };
}
