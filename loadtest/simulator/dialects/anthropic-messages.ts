import { countMessages } from '../count-tokens.ts';
import {
  type Answer,
  around,
  type Endpoint,
  eventStream,
  type Generation,
  hole,
  InvalidRequest,
  type JsonObject,
  jsonAnswer,
  namedEvent,
  type Prompt,
  type UsageFilter,
} from './endpoint.ts';
import { readMaxTokens, readMessages, readModel } from './read-fields.ts';

/** Anthropic `POST /v1/messages`, JSON and server-sent events. */
export const anthropicMessages: Endpoint = {
  path: '/v1/messages',
  dialect: 'anthropic',
  generation: true,
  read(body) {
    const prompt = readPrompt(body);
    const maxTokens = readMaxTokens(body, ['max_tokens']);
    if (maxTokens === undefined) throw new InvalidRequest('max_tokens: Field required', 'max_tokens');
    return { ...prompt, maxTokens, stream: body.stream === true };
  },
  answer: (prompt, generation, usage) =>
    prompt.stream ? streamed(prompt, generation, usage) : whole(prompt, generation, usage),
};

/** Anthropic `POST /v1/messages/count_tokens`: free, and bound by no limit of the generating endpoints. */
export const anthropicCountTokens: Endpoint = {
  path: '/v1/messages/count_tokens',
  dialect: 'anthropic',
  generation: false,
  read: readPrompt,
  answer: (prompt) => jsonAnswer({ input_tokens: prompt.inputTokens }, 0),
};

function readPrompt(body: JsonObject): Prompt {
  const model = readModel(body, 'model: Field required');
  const messages = readMessages(body, 'messages: Field required');
  const inputTokens = countMessages(messages, body.system, body.tools);
  return { model, inputTokens, maxTokens: undefined, stream: false, body };
}

function whole(prompt: Prompt, generation: Generation, usage: UsageFilter): Answer {
  const { toolCall } = generation;
  const content = toolCall
    ? {
        type: 'tool_use',
        id: `toolu_${toolCall.id}`,
        name: toolCall.name,
        input: parsed(toolCall.argumentsText),
      }
    : { type: 'text', text: generation.text() };
  const counted = messageUsage(prompt, generation.outputTokens);
  const message = { ...messageHead(prompt, generation), content: [content], ...ending(generation) };
  return jsonAnswer({ ...message, usage: usage(counted) }, generation.outputTokens);
}

function streamed(prompt: Prompt, generation: Generation, usage: UsageFilter): Answer {
  const { toolCall, outputTokens } = generation;
  const block = toolCall
    ? { type: 'tool_use', id: `toolu_${toolCall.id}`, name: toolCall.name, input: {} }
    : { type: 'text', text: '' };
  const started = {
    ...messageHead(prompt, generation),
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage: usage(messageUsage(prompt, 1)),
  };
  const opening =
    namedEvent({ type: 'message_start', message: started }) +
    namedEvent({ type: 'content_block_start', index: 0, content_block: block }) +
    namedEvent({ type: 'ping' });
  const delta = toolCall
    ? { type: 'input_json_delta', partial_json: hole }
    : { type: 'text_delta', text: hole };
  const [before, after] = around(namedEvent({ type: 'content_block_delta', index: 0, delta }));
  const pieces = generation.words().map((word) => before + JSON.stringify(word) + after);
  const closing =
    namedEvent({ type: 'content_block_stop', index: 0 }) +
    namedEvent({
      type: 'message_delta',
      delta: ending(generation),
      usage: usage(messageUsage(prompt, outputTokens)),
    }) +
    namedEvent({ type: 'message_stop' });
  return { contentType: eventStream, opening, pieces, closing, outputTokens };
}

function messageHead(prompt: Prompt, generation: Generation): JsonObject {
  return { id: `msg_${generation.id}`, type: 'message', role: 'assistant', model: prompt.model };
}

function ending(generation: Generation): JsonObject {
  const atMaximum = generation.cutShort ? 'max_tokens' : 'end_turn';
  return { stop_reason: generation.toolCall ? 'tool_use' : atMaximum, stop_sequence: null };
}

function messageUsage(prompt: Prompt, outputTokens: number): JsonObject {
  return {
    input_tokens: prompt.inputTokens,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: 0,
    output_tokens: outputTokens,
    service_tier: 'standard',
  };
}

function parsed(text: string): unknown {
  return JSON.parse(text);
}
