import type { Dialect } from '#shared/contracts/endpoint.ts';
import { type Fields, sse } from './support.ts';

/** The smallest call of each endpoint. */
export const asked: Record<string, Fields> = {
  '/v1/chat/completions': {
    messages: [{ role: 'user', content: 'Hi' }],
    stream_options: { include_usage: true },
  },
  '/v1/completions': { prompt: 'Hi', stream_options: { include_usage: true } },
  '/v1/responses': { input: 'Hi' },
  '/v1/messages': { max_tokens: 100, messages: [{ role: 'user', content: 'Hi' }] },
  '/v1beta/models/{model}:generateContent': { contents: [{ role: 'user', parts: [{ text: 'Hi' }] }] },
};

/** Answers with thinking, text, a call of a tool, and every part of usage: whole, and the same as a stream. */
export const answers: Record<Dialect, { answer: Fields; events: string[] }> = {
  anthropic: {
    answer: {
      type: 'message',
      id: 'msg_1',
      role: 'assistant',
      model: 'claude-x',
      content: [
        { type: 'thinking', thinking: 'Hm.', signature: 'sig' },
        { type: 'text', text: 'Let me see.' },
        { type: 'tool_use', id: 'toolu_1', name: 'weather', input: { city: 'Oslo' } },
      ],
      stop_reason: 'tool_use',
      stop_sequence: null,
      usage: {
        input_tokens: 10,
        cache_creation_input_tokens: 20,
        cache_read_input_tokens: 30,
        output_tokens: 40,
      },
    },
    events: sse(
      {
        type: 'message_start',
        message: {
          type: 'message',
          id: 'msg_1',
          role: 'assistant',
          model: 'claude-x',
          content: [],
          stop_reason: null,
          usage: {
            input_tokens: 10,
            cache_creation_input_tokens: 20,
            cache_read_input_tokens: 30,
            output_tokens: 1,
          },
        },
      },
      {
        type: 'content_block_start',
        index: 0,
        content_block: { type: 'thinking', thinking: '', signature: '' },
      },
      { type: 'ping' },
      { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: 'Hm.' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'signature_delta', signature: 'sig' } },
      { type: 'content_block_stop', index: 0 },
      { type: 'content_block_start', index: 1, content_block: { type: 'text', text: '' } },
      { type: 'content_block_delta', index: 1, delta: { type: 'text_delta', text: 'Let me' } },
      { type: 'content_block_delta', index: 1, delta: { type: 'text_delta', text: ' see.' } },
      { type: 'content_block_stop', index: 1 },
      {
        type: 'content_block_start',
        index: 2,
        content_block: { type: 'tool_use', id: 'toolu_1', name: 'weather', input: {} },
      },
      {
        type: 'content_block_delta',
        index: 2,
        delta: { type: 'input_json_delta', partial_json: '{"city":' },
      },
      { type: 'content_block_delta', index: 2, delta: { type: 'input_json_delta', partial_json: '"Oslo"}' } },
      { type: 'content_block_stop', index: 2 },
      {
        type: 'message_delta',
        delta: { stop_reason: 'tool_use', stop_sequence: null },
        usage: { output_tokens: 40 },
      },
      { type: 'message_stop' },
    ),
  },
  openai: {
    answer: {
      id: 'chatcmpl-1',
      object: 'chat.completion',
      created: 1_700_000_000,
      model: 'gpt-x',
      choices: [
        {
          index: 0,
          message: {
            role: 'assistant',
            content: 'Let me see.',
            tool_calls: [
              { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Oslo"}' } },
            ],
          },
          finish_reason: 'tool_calls',
        },
      ],
      usage: {
        prompt_tokens: 60,
        completion_tokens: 40,
        total_tokens: 100,
        prompt_tokens_details: { cached_tokens: 30 },
        completion_tokens_details: { reasoning_tokens: 15 },
      },
    },
    events: [
      ...sse(
        ...[
          { delta: { role: 'assistant', content: '' }, finish_reason: null },
          { delta: { content: 'Let me' }, finish_reason: null },
          { delta: { content: ' see.' }, finish_reason: null },
          {
            delta: {
              tool_calls: [
                { index: 0, id: 'call_1', type: 'function', function: { name: 'weather', arguments: '' } },
              ],
            },
            finish_reason: null,
          },
          { delta: { tool_calls: [{ index: 0, function: { arguments: '{"city":' } }] }, finish_reason: null },
          { delta: { tool_calls: [{ index: 0, function: { arguments: '"Oslo"}' } }] }, finish_reason: null },
          { delta: {}, finish_reason: 'tool_calls' },
        ].map((choice) => ({
          id: 'chatcmpl-1',
          object: 'chat.completion.chunk',
          created: 1_700_000_000,
          model: 'gpt-x',
          choices: [{ index: 0, ...choice }],
          usage: null,
        })),
        {
          id: 'chatcmpl-1',
          object: 'chat.completion.chunk',
          created: 1_700_000_000,
          model: 'gpt-x',
          choices: [],
          usage: {
            prompt_tokens: 60,
            completion_tokens: 40,
            total_tokens: 100,
            prompt_tokens_details: { cached_tokens: 30 },
            completion_tokens_details: { reasoning_tokens: 15 },
          },
        },
      ),
      'data: [DONE]\n\n',
    ],
  },
  gemini: {
    answer: {
      candidates: [
        {
          content: {
            role: 'model',
            parts: [
              { text: 'Hm.', thought: true },
              { text: 'Let me see.' },
              {
                functionCall: { id: 'fc_1', name: 'weather', args: { city: 'Oslo' } },
                thoughtSignature: 'c2ln',
              },
            ],
          },
          finishReason: 'STOP',
          index: 0,
        },
      ],
      usageMetadata: {
        promptTokenCount: 60,
        cachedContentTokenCount: 30,
        candidatesTokenCount: 25,
        thoughtsTokenCount: 15,
        totalTokenCount: 100,
      },
      modelVersion: 'gemini-x',
      responseId: 'r1',
    },
    events: sse(
      ...[
        { parts: [{ text: 'Hm.', thought: true }] },
        { parts: [{ text: 'Let me' }] },
        { parts: [{ text: ' see.' }] },
        {
          parts: [
            {
              functionCall: { id: 'fc_1', name: 'weather', args: { city: 'Oslo' } },
              thoughtSignature: 'c2ln',
            },
          ],
        },
      ].map((content) => ({
        candidates: [{ content: { role: 'model', ...content }, index: 0 }],
        modelVersion: 'gemini-x',
      })),
      {
        candidates: [{ content: { role: 'model', parts: [{ text: '' }] }, finishReason: 'STOP', index: 0 }],
        usageMetadata: {
          promptTokenCount: 60,
          cachedContentTokenCount: 30,
          candidatesTokenCount: 25,
          thoughtsTokenCount: 15,
          totalTokenCount: 100,
        },
        modelVersion: 'gemini-x',
      },
    ),
  },
  bedrock: {
    answer: {
      output: {
        message: {
          role: 'assistant',
          content: [
            { reasoningContent: { reasoningText: { text: 'Hm.', signature: 'sig' } } },
            { text: 'Let me see.' },
            { toolUse: { toolUseId: 'tooluse_1', name: 'weather', input: { city: 'Oslo' } } },
          ],
        },
      },
      stopReason: 'tool_use',
      usage: {
        inputTokens: 10,
        cacheReadInputTokens: 30,
        cacheWriteInputTokens: 20,
        outputTokens: 40,
        totalTokens: 100,
      },
      metrics: { latencyMs: 1 },
    },
    events: sse(
      { messageStart: { role: 'assistant' } },
      { contentBlockDelta: { contentBlockIndex: 0, delta: { reasoningContent: { text: 'Hm.' } } } },
      { contentBlockDelta: { contentBlockIndex: 0, delta: { reasoningContent: { signature: 'sig' } } } },
      { contentBlockStop: { contentBlockIndex: 0 } },
      { contentBlockDelta: { contentBlockIndex: 1, delta: { text: 'Let me' } } },
      { contentBlockDelta: { contentBlockIndex: 1, delta: { text: ' see.' } } },
      { contentBlockStop: { contentBlockIndex: 1 } },
      {
        contentBlockStart: {
          contentBlockIndex: 2,
          start: { toolUse: { toolUseId: 'tooluse_1', name: 'weather' } },
        },
      },
      { contentBlockDelta: { contentBlockIndex: 2, delta: { toolUse: { input: '{"city":' } } } },
      { contentBlockDelta: { contentBlockIndex: 2, delta: { toolUse: { input: '"Oslo"}' } } } },
      { contentBlockStop: { contentBlockIndex: 2 } },
      { messageStop: { stopReason: 'tool_use' } },
      {
        metadata: {
          usage: {
            inputTokens: 10,
            cacheReadInputTokens: 30,
            cacheWriteInputTokens: 20,
            outputTokens: 40,
            totalTokens: 100,
          },
          metrics: { latencyMs: 1 },
        },
      },
    ),
  },
};
