import { countMessages, countText } from '../count-tokens.ts';
import {
  type Answer,
  type Endpoint,
  eventStream,
  type Generation,
  InvalidRequest,
  isObject,
  type JsonObject,
  jsonAnswer,
  namedEvent,
  type Prompt,
} from './endpoint.ts';
import { readMaxTokens, readModel } from './read-fields.ts';

/** OpenAI `POST /v1/responses`: one output item, as JSON or as typed events. */
export const openaiResponses: Endpoint = {
  path: '/v1/responses',
  dialect: 'openai',
  generation: true,
  read(body) {
    const model = readModel(body, "Missing required parameter: 'model'.");
    return {
      model,
      inputTokens: inputTokensOf(body),
      maxTokens: readMaxTokens(body, ['max_output_tokens']),
      stream: body.stream === true,
      body,
    };
  },
  answer(prompt, generation, usage) {
    const item = outputItem(generation);
    const counted = usage(responseUsage(prompt, generation));
    const done = {
      ...responseHead(prompt, generation),
      ...ending(generation),
      output: [item],
      usage: counted,
    };
    return prompt.stream
      ? streamed(prompt, generation, item, done)
      : jsonAnswer(done, generation.outputTokens);
  },
};

function inputTokensOf({ input, instructions, tools }: JsonObject): number {
  if (typeof input === 'string') return countText(input) + countMessages([], instructions, tools);
  if (!Array.isArray(input) || input.length === 0) {
    throw new InvalidRequest("Missing required parameter: 'input'.", 'input');
  }
  if (!input.every(isObject)) throw new InvalidRequest('input: every item must be an object', 'input');
  return countMessages(input, instructions, tools);
}

function responseHead(prompt: Prompt, generation: Generation): JsonObject {
  return {
    id: `resp_${generation.id}`,
    object: 'response',
    created_at: generation.createdS,
    status: 'in_progress',
    error: null,
    incomplete_details: null,
    instructions: prompt.body.instructions ?? null,
    max_output_tokens: prompt.maxTokens ?? null,
    model: prompt.model,
    output: [],
    parallel_tool_calls: true,
    tool_choice: prompt.body.tool_choice ?? 'auto',
    tools: prompt.body.tools ?? [],
    usage: null,
    metadata: {},
  };
}

function ending(generation: Generation): JsonObject {
  return generation.cutShort
    ? { status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } }
    : { status: 'completed' };
}

type OutputItem = JsonObject & { id: string };

function outputItem(generation: Generation): OutputItem {
  const { toolCall } = generation;
  const status = generation.cutShort ? 'incomplete' : 'completed';
  if (toolCall) {
    return {
      type: 'function_call',
      id: `fc_${toolCall.id}`,
      call_id: `call_${toolCall.id}`,
      name: toolCall.name,
      arguments: toolCall.argumentsText,
      status,
    };
  }
  return {
    type: 'message',
    id: `msg_${generation.id}`,
    status,
    role: 'assistant',
    content: [textPart(generation.text())],
  };
}

function textPart(text: string): JsonObject {
  return { type: 'output_text', text, annotations: [], logprobs: [] };
}

function streamed(prompt: Prompt, generation: Generation, item: OutputItem, done: JsonObject): Answer {
  let sequence = 0;
  const event = (type: string, fields: JsonObject) =>
    namedEvent({ type, sequence_number: sequence++, ...fields });
  const place = { item_id: item.id, output_index: 0 };
  const part = { ...place, content_index: 0 };
  const begun = responseHead(prompt, generation);
  const started = generation.toolCall
    ? { ...item, status: 'in_progress', arguments: '' }
    : { ...item, status: 'in_progress', content: [] };
  let opening =
    event('response.created', { response: begun }) +
    event('response.in_progress', { response: begun }) +
    event('response.output_item.added', { output_index: 0, item: started });
  if (!generation.toolCall) opening += event('response.content_part.added', { ...part, part: textPart('') });
  const pieces = generation
    .words()
    .map((delta) =>
      generation.toolCall
        ? event('response.function_call_arguments.delta', { ...place, delta })
        : event('response.output_text.delta', { ...part, delta, logprobs: [] }),
    );
  const text = generation.toolCall ? '' : generation.text();
  const itemDone = generation.toolCall
    ? event('response.function_call_arguments.done', { ...place, arguments: item.arguments })
    : event('response.output_text.done', { ...part, text, logprobs: [] }) +
      event('response.content_part.done', { ...part, part: textPart(text) });
  const closing =
    itemDone +
    event('response.output_item.done', { output_index: 0, item }) +
    event(generation.cutShort ? 'response.incomplete' : 'response.completed', { response: done });
  return { contentType: eventStream, opening, pieces, closing, outputTokens: generation.outputTokens };
}

function responseUsage(prompt: Prompt, generation: Generation): JsonObject {
  return {
    input_tokens: prompt.inputTokens,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: generation.outputTokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: prompt.inputTokens + generation.outputTokens,
  };
}
