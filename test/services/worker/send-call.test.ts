import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { providerSchema } from '#config/provider-schema.ts';
import { systemClock } from '#shared/kernel/clock.ts';
import { secretOf } from '../../../loadtest/simulator/dialects/aws-signature.ts';
import type { Simulator } from '../../../loadtest/simulator/start-simulator.ts';
import { ProviderClient } from '../../../services/worker/http/provider-client.ts';
import { wireOf } from '../../../services/worker/providers/adapters.ts';
import { sendCall } from '../../../services/worker/send-call.ts';
import { ProviderStream } from '../../../services/worker/streams/provider-stream.ts';
import { StreamRelay } from '../../../services/worker/streams/stream-relay.ts';
import { newSimulator } from '../../harness/sluice.ts';

let simulator: Simulator;
let client: ProviderClient | undefined;
beforeAll(async () => {
  simulator = await newSimulator();
});
afterAll(() => simulator.stop());
afterEach(() => client?.destroy());

const operation = '/model/{model}/converse';

/** Asks the simulator as Bedrock; a streamed answer is read to its end. */
async function converse(apiKey: string, stream: boolean, text = 'hello') {
  const settings = providerSchema.parse({
    dialect: 'bedrock',
    region: 'eu-west-1',
    base_url: simulator.url,
    credentials: [{ id: 'main', api_key: apiKey }],
    pools: { all: { models: ['m'] } },
  });
  client = new ProviderClient(settings, 1, systemClock);
  const relay = new StreamRelay({
    reader: wireOf(operation).streamReader(operation),
    hideUsage: false,
    eventMaxBytes: 10_000,
    eventsMax: 1_000,
    emit: () => undefined,
  });
  const sink = new ProviderStream({
    endpoint: '/v1/chat/completions',
    operation,
    translation: undefined,
    jobId: 'job',
    relay,
    estimatedInput: 1,
    eventMaxBytes: 10_000,
  });
  const body = JSON.stringify({ messages: [{ role: 'user', content: [{ text }] }] });
  const response = await sendCall(client, systemClock, {
    call: { operation, model: 'anthropic.claude-sonnet-5-v1:0', body, stream, headers: {} },
    settings,
    apiKey,
    attemptId: 'job_1/1',
    signal: new AbortController().signal,
    sink: stream ? sink : undefined,
  });
  return { response, relay, sink };
}

const signing = `AKIDWORKER:${secretOf('AKIDWORKER')}`;

test.each([signing, 'bedrock-api-key'])(
  'Bedrock takes an access key that signs, or an API key',
  async (key) => {
    const { response } = await converse(key, false);
    const answer = JSON.parse(response.body.toString()) as Record<string, unknown>;
    expect(response.status).toBe(200);
    expect(wireOf(operation).isAnswer(operation, answer)).toBe(true);
    expect(wireOf(operation).readUsage(answer)?.outputTokens).toBeGreaterThan(0);
  },
);

test('its event stream reaches the relay as server-sent events, usage included', async () => {
  const { relay, sink } = await converse(signing, true);
  expect(sink.took).toBe(true);
  expect(relay.finished).toBe(true);
  expect(relay.body.toString()).toMatch(/^event: messageStart\ndata: /);
  expect(relay.usage(1).outputTokens).toBeGreaterThan(0);
});

test('a signature by another secret is refused as AWS does', async () => {
  const { response } = await converse('AKIDWORKER:wrong', true);
  expect(response.status).toBe(403);
  expect(response.headers['x-amzn-errortype']).toBe('AccessDeniedException');
});
