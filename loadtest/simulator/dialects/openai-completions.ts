import { countText } from '../count-tokens.ts';
import {
  type Answer,
  type Endpoint,
  eventStream,
  type Generation,
  InvalidRequest,
  isObject,
  type JsonObject,
  jsonAnswer,
  type Prompt,
  type UsageFilter,
} from './endpoint.ts';
import { readMaxTokens, readModel } from './read-fields.ts';

/** OpenAI `POST /v1/completions`, the older endpoint that many compatible servers still speak. */
export const openaiCompletions: Endpoint = {
  path: '/v1/completions',
  dialect: 'openai',
  generation: true,
  read(body) {
    const model = readModel(body, 'you must provide a model parameter');
    const { prompt } = body;
    if (typeof prompt !== 'string') throw new InvalidRequest("Missing required parameter: 'prompt'.");
    const maxTokens = readMaxTokens(body, ['max_tokens']);
    return { model, inputTokens: countText(prompt), maxTokens, stream: body.stream === true, body };
  },
  answer: (prompt, generation, usage) =>
    prompt.stream ? streamed(prompt, generation, usage) : whole(prompt, generation, usage),
};

function chunk(prompt: Prompt, generation: Generation, text: string, finish: string | null): JsonObject {
  return {
    id: `cmpl-${generation.id}`,
    object: 'text_completion',
    created: generation.createdS,
    model: prompt.model,
    choices: [{ index: 0, text, logprobs: null, finish_reason: finish }],
  };
}

const finishReason = (generation: Generation) => (generation.cutShort ? 'length' : 'stop');

function usageOf(prompt: Prompt, { outputTokens }: Generation): JsonObject {
  const { inputTokens } = prompt;
  return {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: inputTokens + outputTokens,
  };
}

function whole(prompt: Prompt, generation: Generation, usage: UsageFilter): Answer {
  const body = chunk(prompt, generation, generation.text(), finishReason(generation));
  return jsonAnswer({ ...body, usage: usage(usageOf(prompt, generation)) }, generation.outputTokens);
}

function streamed(prompt: Prompt, generation: Generation, usage: UsageFilter): Answer {
  const options = prompt.body.stream_options;
  const includeUsage = isObject(options) && options.include_usage === true;
  const extra = includeUsage ? { usage: null } : {};
  const event = (text: string, finish: string | null) =>
    `data: ${JSON.stringify({ ...chunk(prompt, generation, text, finish), ...extra })}\n\n`;
  const last = {
    ...chunk(prompt, generation, '', null),
    choices: [],
    usage: usage(usageOf(prompt, generation)),
  };
  const closing = `${event('', finishReason(generation))}${includeUsage ? `data: ${JSON.stringify(last)}\n\n` : ''}data: [DONE]\n\n`;
  const pieces = generation.words().map((word) => event(word, null));
  const { outputTokens } = generation;
  return { contentType: eventStream, opening: '', pieces, closing, outputTokens };
}
