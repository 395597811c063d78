import { HttpInstrumentation } from '@opentelemetry/instrumentation-http';
import { NodeSDK } from '@opentelemetry/sdk-node';
import { InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor } from '@opentelemetry/sdk-trace';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { TestSluice } from '../harness/sluice.ts';
import { until } from '../harness/until.ts';

const exporter = new InMemorySpanExporter();
const sdk = new NodeSDK({
  serviceName: 'sluice-test',
  metricReaders: [],
  spanProcessors: [new SimpleSpanProcessor({ exporter })],
  instrumentations: [
    new HttpInstrumentation({
      disableOutgoingRequestInstrumentation: true,
      // The provider runs in this process too; it is no part of the trace.
      ignoreIncomingRequestHook: (request) => request.headers['x-client-request-id'] !== undefined,
    }),
  ],
});

let sluice: TestSluice;
let chat: typeof import('../harness/sluice.ts').chat;
beforeAll(async () => {
  sdk.start();
  // Only now, because tracing changes what Fastify imports.
  const harness = await import('../harness/sluice.ts');
  chat = harness.chat;
  // The address only switches the spans of the queue on; everything ends in the exporter above.
  sluice = await harness.startSluice({ settings: { telemetry: { otlp_endpoint: 'http://127.0.0.1:9' } } });
});
afterAll(async () => {
  await sluice.stop();
  await sdk.shutdown();
});
beforeEach(() => exporter.reset());

const traceId = 'a'.repeat(32);
const callerSpan = 'b'.repeat(16);
const traceparent = `00-${traceId}-${callerSpan}-01`;
const spanNamed = (name: string) => exporter.getFinishedSpans().filter((span) => span.name === name);

/** All spans of a trace once the job's run has ended, which is after the answer. */
async function finishedTrace(runs = 1): Promise<ReadableSpan[]> {
  await until('the runs end', () => spanNamed('sluice run').length >= runs);
  await until('the request ends', () =>
    exporter.getFinishedSpans().some(({ kind, name }) => kind === 1 && name !== 'sluice run'),
  );
  return exporter.getFinishedSpans();
}

/** Names from a span up to the caller's. */
function ancestry(spans: readonly ReadableSpan[], span: ReadableSpan): string[] {
  const names: string[] = [];
  for (
    let at: ReadableSpan | undefined = span;
    at;
    at = spans.find((each) => each.spanContext().spanId === at!.parentSpanContext?.spanId)
  )
    names.push(at.name);
  return names;
}

test('one call is one trace: request, accept, add to the queue, run, attempt', async () => {
  expect((await sluice.post('/v1/chat/completions', chat(), { traceparent })).status).toBe(200);
  const spans = await finishedTrace();
  const dispatched = spanNamed('sluice run')[0]!.events.find(({ name }) => name === 'sluice.dispatch');
  expect(dispatched?.attributes).toEqual({
    'sluice.tenant': 'acme',
    'sluice.pool': 'openai/chat',
    'sluice.credential': 'main',
    'sluice.algorithm': 'vtc',
    'sluice.decision': 'granted',
  });
  const [attempt] = spanNamed('sluice attempt');
  const names = ancestry(spans, attempt!);
  expect(names).toEqual([
    'sluice attempt',
    'sluice run',
    expect.stringMatching(/^add /),
    'sluice accept',
    expect.stringMatching(/^POST/),
  ]);
  expect(new Set(spans.map((span) => span.spanContext().traceId))).toEqual(new Set([traceId]));
  const root = spans.find((span) => span.name === names.at(-1));
  expect(root!.parentSpanContext?.spanId).toBe(callerSpan);
});

test('every attempt of a job is a span of the same trace', async () => {
  sluice.simulator.faults.add({ match: {}, times: 2, fault: { status: 500 } });
  expect((await sluice.post('/v1/chat/completions', chat(), { traceparent })).status).toBe(200);
  await finishedTrace(3);
  const attempts = spanNamed('sluice attempt');
  expect(
    attempts
      .map(({ attributes }) => attributes['sluice.attempt'])
      .toSorted((left, right) => Number(left) - Number(right)),
  ).toEqual([1, 2, 3]);
  expect(new Set(attempts.map((span) => span.spanContext().traceId))).toEqual(new Set([traceId]));
});

test('no span says anything of prompt, answer or key', async () => {
  const secret = 'canary-7f3a';
  const answer = {
    object: 'chat.completion',
    choices: [{ index: 0, message: { role: 'assistant', content: secret } }],
    usage: { prompt_tokens: 1, completion_tokens: 1 },
  };
  await sluice.post('/v1/chat/completions', chat(secret, { body: answer }), { traceparent });
  await sluice.post(
    '/v1/chat/completions',
    chat(secret, { status: 400, body: { error: { message: secret } } }),
    { traceparent },
  );
  await sluice.post('/v1/chat/completions', `{"model":"gpt-5-mini","messages":"${secret}"`, { traceparent });
  await finishedTrace(2);
  const told = exporter.getFinishedSpans().map(({ name, attributes, events, status, resource, links }) => ({
    name,
    attributes,
    events,
    status,
    resource: resource.attributes,
    links,
  }));
  expect(told.length).toBeGreaterThan(8);
  expect(JSON.stringify(told)).not.toMatch(/canary|sk-sl-test|sk-simulator/);
});
