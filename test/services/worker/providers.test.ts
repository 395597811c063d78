import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { providerSchema } from '#config/provider-schema.ts';
import type { ProviderSettings } from '#config/schema.ts';
import { adapterOf, wireOf } from '../../../services/worker/providers/adapters.ts';
import { tokenCount } from '../../../services/worker/providers/wire-format.ts';
import { holds } from '../../harness/property.ts';

const openai = wireOf('/v1/chat/completions');
const anthropic = wireOf('/v1/messages');

describe('usage', () => {
  test.each([
    [
      openai,
      { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 },
      { inputTokens: 3, outputTokens: 4 },
    ],
    [openai, { prompt_tokens: 3, total_tokens: 3 }, { inputTokens: 3, outputTokens: 0 }],
    [openai, { prompt_tokens: 0, completion_tokens: 0 }, { inputTokens: 0, outputTokens: 0 }],
    [anthropic, { input_tokens: 3, output_tokens: 4 }, { inputTokens: 3, outputTokens: 4 }],
    [
      anthropic,
      { input_tokens: 3, output_tokens: 4, cache_creation_input_tokens: 10, cache_read_input_tokens: 100 },
      { inputTokens: 113, outputTokens: 4, cacheWriteTokens: 10, cachedInputTokens: 100 },
    ],
    [
      anthropic,
      {
        input_tokens: 3,
        output_tokens: 40,
        cache_creation_input_tokens: 10,
        cache_creation: { ephemeral_1h_input_tokens: 6 },
        output_tokens_details: { thinking_tokens: 30 },
      },
      {
        inputTokens: 13,
        outputTokens: 40,
        cacheWriteTokens: 10,
        cacheWriteLongTokens: 6,
        reasoningTokens: 30,
      },
    ],
    [
      openai,
      {
        prompt_tokens: 30,
        completion_tokens: 4,
        prompt_tokens_details: { cached_tokens: 20, cache_write_tokens: 5 },
        completion_tokens_details: { reasoning_tokens: 3 },
      },
      {
        inputTokens: 30,
        outputTokens: 4,
        cachedInputTokens: 20,
        cacheWriteTokens: 5,
        reasoningTokens: 3,
      },
    ],
    [
      openai,
      {
        input_tokens: 30,
        output_tokens: 4,
        input_tokens_details: { cached_tokens: 20 },
        output_tokens_details: { reasoning_tokens: 0 },
      },
      { inputTokens: 30, outputTokens: 4, cachedInputTokens: 20 },
    ],
    [
      anthropic,
      { input_tokens: 3, output_tokens: 4, cache_creation_input_tokens: null },
      { inputTokens: 3, outputTokens: 4 },
    ],
  ])('is read %#', (adapter, usage, expected) => {
    expect(adapter.readUsage({ usage })).toEqual(expected);
  });

  test.each([
    undefined,
    null,
    'text',
    5,
    [],
    {},
    { prompt_tokens: '3' },
    { prompt_tokens: -1, completion_tokens: 1 },
    { prompt_tokens: 1.5 },
    { prompt_tokens: 1, completion_tokens: 'x' },
    { input_tokens: 1 },
    { input_tokens: 1, output_tokens: null },
    { input_tokens: 1e12, output_tokens: 1 },
  ])('that makes no sense is no usage: %j', (usage) => {
    expect(openai.readUsage({ usage })).toBeUndefined();
    expect(anthropic.readUsage({ usage })).toBeUndefined();
  });

  test('of any shape never throws, and is whole and not negative when it is read', async () => {
    await holds(
      500,
      fc.property(fc.record({ usage: fc.anything() }, { requiredKeys: [] }), (answer) => {
        for (const adapter of [openai, anthropic]) {
          const usage = adapter.readUsage(answer);
          if (!usage) continue;
          for (const count of Object.values(usage)) expect(Number.isInteger(count) && count >= 0).toBe(true);
        }
      }),
    );
  });

  test('a count is a whole number within reason', () => {
    expect([0, 1, 1e9].map(tokenCount)).toEqual([0, 1, 1e9]);
    for (const value of [
      -1,
      1e9 + 1,
      0.5,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      '1',
      null,
      undefined,
      true,
      [1],
    ])
      expect(tokenCount(value)).toBeUndefined();
  });
});

test('an answer is taken for one only in the form of its endpoint', () => {
  const answers = [
    ['/v1/chat/completions', openai, { choices: [] }],
    ['/v1/embeddings', openai, { data: [] }],
    ['/v1/messages', anthropic, { type: 'message', content: [] }],
  ] as const;
  for (const [endpoint, adapter, answer] of answers) {
    expect(adapter.isAnswer(endpoint, answer)).toBe(true);
    for (const other of [
      {},
      { error: {} },
      { choices: {} },
      { data: 'x' },
      { type: 'message' },
      { type: 'error', content: [] },
    ]) {
      expect(adapter.isAnswer(endpoint, other)).toBe(false);
    }
  }
});

const providerOf = (over: Record<string, unknown>): ProviderSettings =>
  providerSchema.parse({
    dialect: 'openai',
    base_url: 'https://host/v1',
    credentials: [{ id: 'main', api_key: 'k' }],
    pools: { all: { models: ['*'] } },
    ...over,
  });
const call = {
  operation: '/v1/chat/completions',
  model: 'm',
  body: '{"a":1}',
  stream: false,
  headers: { 'content-type': 'application/json' },
} as const;
const key = { secret: 'k', nowMs: Date.parse('2026-01-01T00:00:00Z') };

test.each([
  ['https://api.openai.com/v1', 'https://api.openai.com/v1/chat/completions'],
  ['https://api.openai.com/v1/', 'https://api.openai.com/v1/chat/completions'],
  ['https://host', 'https://host/v1/chat/completions'],
  ['https://host/prefix//', 'https://host/prefix/v1/chat/completions'],
])('a base URL with or without the version leads to the same place: %s', async (base, expected) => {
  const { url, headers } = await adapterOf('openai').address(call, providerOf({ base_url: base }), key);
  expect(url).toBe(expected);
  expect(headers).toMatchObject({ authorization: 'Bearer k', 'content-type': 'application/json' });
});

test('the key of Anthropic travels beside the version, which the caller may choose', async () => {
  const adapter = adapterOf('anthropic');
  const settings = providerOf({ dialect: 'anthropic' });
  const messages = { ...call, operation: '/v1/messages' } as const;
  const { headers } = await adapter.address(messages, settings, key);
  expect(headers).toMatchObject({ 'x-api-key': 'k', 'anthropic-version': '2023-06-01' });
  const newer = { ...messages, headers: { 'anthropic-version': '2026-01-01' } };
  expect((await adapter.address(newer, settings, key)).headers['anthropic-version']).toBe('2026-01-01');
});
