import { countMessages } from '../count-tokens.ts';
import {
  type Answer,
  around,
  type Endpoint,
  eventStream,
  type Generation,
  hole,
  isObject,
  type JsonObject,
  jsonAnswer,
  type Prompt,
  type UsageFilter,
} from './endpoint.ts';
import { readMaxTokens, readMessages, readModel } from './read-fields.ts';

const streamEnd = 'data: [DONE]\n\n';

/** OpenAI `POST /v1/chat/completions`, JSON and server-sent events. */
export const openaiChat: Endpoint = {
  path: '/v1/chat/completions',
  dialect: 'openai',
  generation: true,
  read(body) {
    const model = readModel(body, 'you must provide a model parameter');
    const messages = readMessages(body, "Missing required parameter: 'messages'.");
    return {
      model,
      inputTokens: countMessages(messages, body.tools),
      maxTokens: readMaxTokens(body, ['max_completion_tokens', 'max_tokens']),
      stream: body.stream === true,
      body,
    };
  },
  answer: (prompt, generation, usage) =>
    prompt.stream ? streamed(prompt, generation, usage) : whole(prompt, generation, usage),
};

function whole(prompt: Prompt, generation: Generation, usage: UsageFilter): Answer {
  const { toolCall } = generation;
  const message = toolCall
    ? { role: 'assistant', content: null, refusal: null, tool_calls: [toolCallItem(toolCall)] }
    : { role: 'assistant', content: generation.text(), refusal: null };
  return jsonAnswer(
    {
      id: `chatcmpl-${generation.id}`,
      object: 'chat.completion',
      created: generation.createdS,
      model: prompt.model,
      choices: [{ index: 0, message, logprobs: null, finish_reason: finishReason(generation) }],
      usage: usage(chatUsage(prompt, generation)),
      service_tier: 'default',
      system_fingerprint: 'fp_simulator',
    },
    generation.outputTokens,
  );
}

function streamed(prompt: Prompt, generation: Generation, usage: UsageFilter): Answer {
  const options = prompt.body.stream_options;
  const includeUsage = isObject(options) && options.include_usage === true;
  const head = `data: {"id":"chatcmpl-${generation.id}","object":"chat.completion.chunk","created":${generation.createdS},"model":${JSON.stringify(prompt.model)},"service_tier":"default","system_fingerprint":"fp_simulator","choices":`;
  const tail = includeUsage ? ',"usage":null}\n\n' : '}\n\n';
  const chunk = (delta: JsonObject, finish: string | null) =>
    `${head}${JSON.stringify([{ index: 0, delta, logprobs: null, finish_reason: finish }])}${tail}`;
  const finish = chunk({}, finishReason(generation));
  const usageChunk = includeUsage
    ? `${head}[],"usage":${JSON.stringify(usage(chatUsage(prompt, generation))) ?? 'null'}}\n\n`
    : '';
  const closing = finish + usageChunk + streamEnd;
  const { toolCall, outputTokens } = generation;
  if (!toolCall) {
    const opening = chunk({ role: 'assistant', content: '', refusal: null }, null);
    const [before, after] = around(chunk({ content: hole }, null));
    const pieces = generation.words().map((word) => before + JSON.stringify(word) + after);
    return { contentType: eventStream, opening, pieces, closing, outputTokens };
  }
  const first = { index: 0, ...toolCallItem({ ...toolCall, argumentsText: '' }) };
  const opening = chunk({ role: 'assistant', content: null, tool_calls: [first] }, null);
  const pieces = generation
    .words()
    .map((part) => chunk({ tool_calls: [{ index: 0, function: { arguments: part } }] }, null));
  return { contentType: eventStream, opening, pieces, closing, outputTokens };
}

function toolCallItem(call: { id: string; name: string; argumentsText: string }): JsonObject {
  return {
    id: `call_${call.id}`,
    type: 'function',
    function: { name: call.name, arguments: call.argumentsText },
  };
}

function finishReason(generation: Generation): string {
  if (generation.toolCall) return 'tool_calls';
  return generation.cutShort ? 'length' : 'stop';
}

function chatUsage(prompt: Prompt, generation: Generation): JsonObject {
  return {
    prompt_tokens: prompt.inputTokens,
    completion_tokens: generation.outputTokens,
    total_tokens: prompt.inputTokens + generation.outputTokens,
    prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: 0, audio_tokens: 0, accepted_prediction_tokens: 0 },
  };
}
