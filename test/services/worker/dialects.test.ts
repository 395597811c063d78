import { EventStreamCodec } from '@smithy/eventstream-codec';
import { describe, expect, test } from 'vitest';
import { providerSchema } from '#config/provider-schema.ts';
import type { Operation } from '#shared/contracts/endpoint.ts';
import { adapterOf, wireOf } from '../../../services/worker/providers/adapters.ts';
import type { OutgoingCall } from '../../../services/worker/providers/provider-adapter.ts';
import { StreamInvalid } from '../../../services/worker/streams/stream-invalid.ts';
import { StreamRelay } from '../../../services/worker/streams/stream-relay.ts';

const nowMs = Date.parse('2026-10-01T12:00:00Z');
const body = '{"contents":[]}';

function address(
  given: Record<string, unknown>,
  call: Partial<OutgoingCall> & Pick<OutgoingCall, 'operation'>,
  secret = 'k',
) {
  const credentials = [{ id: 'main', api_key: secret }];
  const settings = providerSchema.parse({ credentials, pools: { all: { models: ['m'] } }, ...given });
  const outgoing = { model: 'm-1', body, stream: false, headers: { accept: 'x' }, ...call };
  return adapterOf(settings.dialect).address(outgoing, settings, { secret, nowMs });
}

const generate = '/v1beta/models/{model}:generateContent';
const azure = 'https://acme.openai.azure.com';

describe('requests', () => {
  test.each<[Record<string, unknown>, Partial<OutgoingCall> & Pick<OutgoingCall, 'operation'>, string]>([
    [
      { dialect: 'azure', base_url: azure },
      { operation: '/v1/chat/completions' },
      `${azure}/openai/deployments/m-1/chat/completions?api-version=2024-10-21`,
    ],
    [
      { dialect: 'azure', base_url: `${azure}/openai/`, api_version: '2026-01-01-preview' },
      { operation: '/v1/responses' },
      `${azure}/openai/responses?api-version=2026-01-01-preview`,
    ],
    [
      { dialect: 'azure', base_url: `${azure}/openai/v1` },
      { operation: '/v1/embeddings' },
      `${azure}/openai/v1/embeddings`,
    ],
    [
      { dialect: 'gemini' },
      { operation: generate },
      'https://generativelanguage.googleapis.com/v1beta/models/m-1:generateContent',
    ],
    [
      { dialect: 'gemini' },
      { operation: generate, stream: true },
      'https://generativelanguage.googleapis.com/v1beta/models/m-1:streamGenerateContent?alt=sse',
    ],
    [
      { dialect: 'gemini', base_url: 'https://proxy/v1alpha' },
      { operation: '/v1beta/models/{model}:embedContent' },
      'https://proxy/v1alpha/models/m-1:embedContent',
    ],
    [
      { dialect: 'vertex', project: 'acme', location: 'europe-west4' },
      { operation: generate, stream: true },
      'https://europe-west4-aiplatform.googleapis.com/v1/projects/acme/locations/europe-west4/publishers/google/models/m-1:streamGenerateContent?alt=sse',
    ],
    [
      { dialect: 'bedrock', region: 'us-east-1' },
      { operation: '/model/{model}/converse', model: 'anthropic.claude-v1:0', stream: true },
      'https://bedrock-runtime.us-east-1.amazonaws.com/model/anthropic.claude-v1%3A0/converse-stream',
    ],
    [
      { dialect: 'openai', base_url: 'https://models.host/inference', version_path: '' },
      { operation: '/v1/chat/completions' },
      'https://models.host/inference/chat/completions',
    ],
  ])('go where the provider has them: %j %j', async (settings, call, url) => {
    const sent = await address(settings, call);
    expect(sent).toMatchObject({ url, body });
    expect(sent.headers).toMatchObject({ accept: 'x' });
  });

  test.each([
    [{ dialect: 'azure', base_url: azure }, '/v1/chat/completions', 'api-key', 'k'],
    [{ dialect: 'gemini' }, generate, 'x-goog-api-key', 'k'],
    [{ dialect: 'vertex', project: 'acme' }, generate, 'authorization', 'Bearer k'],
    [{ dialect: 'bedrock', region: 'r' }, '/model/{model}/converse', 'authorization', 'Bearer k'],
  ] as const)('carry their key as %j demands', async (settings, operation, header, value) => {
    expect((await address(settings, { operation })).headers[header]).toBe(value);
  });

  test('an access key of AWS signs with its date, and shows its secret nowhere', async () => {
    const { headers } = await address(
      { dialect: 'bedrock', region: 'eu-west-1' },
      { operation: '/model/{model}/converse' },
      'AKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG:token',
    );
    expect(headers.authorization).toMatch(
      /^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE\/20261001\/eu-west-1\/bedrock\/aws4_request, SignedHeaders=\S+, Signature=[0-9a-f]{64}$/,
    );
    expect(headers).toMatchObject({ 'x-amz-date': '20261001T120000Z', 'x-amz-security-token': 'token' });
    expect(JSON.stringify(headers)).not.toContain('wJalrXUtnFEMI');
  });
});

describe('answers', () => {
  test.each<[Operation, Record<string, unknown>, object | undefined]>([
    [
      generate,
      {
        candidates: [{ content: { parts: [{ text: 'a' }] }, finishReason: 'STOP' }],
        usageMetadata: {
          promptTokenCount: 10,
          cachedContentTokenCount: 4,
          candidatesTokenCount: 5,
          thoughtsTokenCount: 7,
          toolUsePromptTokenCount: 3,
          totalTokenCount: 25,
        },
      },
      { inputTokens: 13, outputTokens: 12, cachedInputTokens: 4, reasoningTokens: 7 },
    ],
    [
      generate,
      {
        promptFeedback: { blockReason: 'SAFETY' },
        usageMetadata: { promptTokenCount: 4, totalTokenCount: 4 },
      },
      { inputTokens: 4, outputTokens: 0 },
    ],
    ['/v1beta/models/{model}:embedContent', { embedding: { values: [1] } }, undefined],
    ['/v1beta/models/{model}:batchEmbedContents', { embeddings: [] }, undefined],
    ['/v1beta/models/{model}:countTokens', { totalTokens: 3 }, undefined],
    ['/v1/messages/count_tokens', { input_tokens: 3 }, undefined],
    [
      '/model/{model}/converse',
      {
        output: { message: { role: 'assistant', content: [{ text: 'a' }] } },
        stopReason: 'end_turn',
        usage: {
          inputTokens: 3_000,
          outputTokens: 1_000,
          totalTokens: 8_000,
          cacheReadInputTokens: 4_000,
          cacheWriteInputTokens: 1_000,
        },
      },
      { inputTokens: 8_000, outputTokens: 1_000, cachedInputTokens: 4_000, cacheWriteTokens: 1_000 },
    ],
  ])('of %s are known by their form, and tell their usage', (operation, answer, usage) => {
    const wire = wireOf(operation);
    expect(wire.isAnswer(operation, answer)).toBe(true);
    expect(wire.readUsage(answer)).toEqual(usage);
    for (const other of [{}, { error: {} }, { candidates: 5 }, { output: {} }, { message: 'no' }])
      expect(wire.isAnswer(operation, other)).toBe(false);
  });
});

function relayOf(operation: Operation): StreamRelay {
  const reader = wireOf(operation).streamReader(operation);
  return new StreamRelay({
    reader,
    hideUsage: false,
    eventMaxBytes: 10_000,
    eventsMax: 100,
    emit: () => undefined,
  });
}

const sse = (...events: unknown[]) =>
  Buffer.from(events.map((each) => `data: ${JSON.stringify(each)}\r\n\r\n`).join(''));
const candidate = (text: string, more: object = {}) => ({
  candidates: [{ content: { role: 'model', parts: [{ text }] }, ...more }],
});

describe('streams', () => {
  test('of Gemini end with a reason, and count thoughts beside what is shown', () => {
    const relay = relayOf(generate);
    relay.push(
      sse(candidate('Hel'), {
        ...candidate('lo', { finishReason: 'STOP' }),
        usageMetadata: { promptTokenCount: 4, candidatesTokenCount: 2, thoughtsTokenCount: 9 },
      }),
    );
    expect(relay.finished).toBe(true);
    expect(relay.usage(1)).toEqual({ inputTokens: 4, outputTokens: 11, reasoningTokens: 9 });
  });

  test('of Gemini that break off are charged what was seen', () => {
    const relay = relayOf(generate);
    relay.push(sse(candidate('one two three four')));
    expect(relay.finished).toBe(false);
    expect(relay.usage(7)).toMatchObject({ inputTokens: 7 });
    expect(relay.usage(7).outputTokens).toBeGreaterThan(2);
  });

  test('of Gemini that fail say so', () => {
    const relay = relayOf(generate);
    relay.push(sse({ error: { code: 503, message: 'overloaded', status: 'UNAVAILABLE' } }));
    expect(relay.error).toMatchObject({ code: 503 });
  });

  test('of OpenRouter fail with a finish_reason', () => {
    const relay = relayOf('/v1/chat/completions');
    relay.push(sse({ choices: [{ index: 0, delta: { content: 'a' } }] }));
    relay.push(sse({ choices: [{ index: 0, delta: {}, finish_reason: 'error' }] }));
    expect(relay.error).toBeDefined();
    expect(relay.finished).toBe(false);
  });

  test('of DeepSeek keep alive with comments before the answer, which wait for it', () => {
    const relay = relayOf('/v1/chat/completions');
    relay.push(Buffer.from(': keep-alive\n\n: keep-alive\n\n'));
    expect(relay.begun).toBe(false);
    relay.push(sse({ choices: [{ index: 0, delta: { content: 'a' }, finish_reason: 'stop' }] }));
    expect(relay.finished).toBe(true);
  });
});

const codec = new EventStreamCodec(
  (bytes) => (typeof bytes === 'string' ? bytes : Buffer.from(bytes).toString()),
  (text) => Buffer.from(text),
);
const text = (value: string) => ({ type: 'string' as const, value });
const frame = (type: string, payload: unknown, kind: 'event' | 'exception' = 'event') =>
  Buffer.from(
    codec.encode({
      headers: {
        ':message-type': text(kind),
        [`:${kind}-type`]: text(type),
        ':content-type': text('application/json'),
      },
      body: Buffer.from(JSON.stringify(payload)),
    }),
  );

describe('the event stream of Bedrock', () => {
  const frames = Buffer.concat([
    frame('messageStart', { role: 'assistant', p: 'abc' }),
    frame('contentBlockDelta', { contentBlockIndex: 0, delta: { text: 'grüße\n\n' } }),
    frame('contentBlockDelta', { contentBlockIndex: 1, delta: { toolUse: { input: '{"a":1}' } } }),
    frame('messageStop', { stopReason: 'end_turn' }),
    frame('metadata', { usage: { inputTokens: 5, outputTokens: 6, totalTokens: 11 } }),
  ]);
  const newDecoder = () => adapterOf('bedrock').framing!.decoder(10_000);

  test.each([1, 7, 100, 10_000])('is read in pieces of %i bytes', (size) => {
    const decoder = newDecoder();
    const relay = relayOf('/model/{model}/converse');
    for (let at = 0; at < frames.length; at += size) relay.push(decoder.push(frames.subarray(at, at + size)));
    expect(relay.body.toString().split('\n\n')).toEqual([
      'event: messageStart\ndata: {"messageStart":{"role":"assistant","p":"abc"}}',
      'event: contentBlockDelta\ndata: {"contentBlockDelta":{"contentBlockIndex":0,"delta":{"text":"grüße\\n\\n"}}}',
      'event: contentBlockDelta\ndata: {"contentBlockDelta":{"contentBlockIndex":1,"delta":{"toolUse":{"input":"{\\"a\\":1}"}}}}',
      'event: messageStop\ndata: {"messageStop":{"stopReason":"end_turn"}}',
      'event: metadata\ndata: {"metadata":{"usage":{"inputTokens":5,"outputTokens":6,"totalTokens":11}}}',
      '',
    ]);
    expect(relay.finished).toBe(true);
    expect(relay.usage(1)).toEqual({ inputTokens: 5, outputTokens: 6 });
  });

  test('tells of exceptions by their name', () => {
    const relay = relayOf('/model/{model}/converse');
    relay.push(newDecoder().push(frame('throttlingException', { message: 'slow' }, 'exception')));
    expect(relay.error).toEqual({ type: 'throttlingException', message: 'slow' });
  });

  test.each([
    [
      'whose checksum is wrong',
      Buffer.concat([frames.subarray(0, 20), Buffer.from('x'), frames.subarray(21)]),
    ],
    ['that is longer than allowed', frame('messageStart', { p: 'x'.repeat(20_000) })],
    ['that is no message', Buffer.from('HTTP/1.1 200 OK, and more')],
    ['that is no JSON', Buffer.from(codec.encode({ headers: {}, body: Buffer.from('{') }))],
  ])('ends with a message %s', (_what, bytes) => {
    expect(() => newDecoder().push(bytes)).toThrow(StreamInvalid);
  });
});
