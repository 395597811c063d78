import { countMessages } from '../count-tokens.ts';
import {
  type Answer,
  type Endpoint,
  type Generation,
  InvalidRequest,
  isObject,
  type JsonObject,
  jsonAnswer,
  type Prompt,
  type UsageFilter,
} from './endpoint.ts';
import { awsEventStream, eventFrame } from './event-frames.ts';
import { readMaxTokens, readMessages, readModel } from './read-fields.ts';

const objects = (value: unknown): JsonObject[] => (Array.isArray(value) ? value.filter(isObject) : []);

/** AWS Bedrock `/model/{id}/converse`, and `/converse-stream` as an AWS event stream. */
export const bedrockConverse: Endpoint = {
  path: '/model/{model}/converse',
  dialect: 'bedrock',
  generation: true,
  read(body) {
    const model = readModel(body, 'modelId is required');
    const messages = readMessages(body, 'messages is required');
    for (const { content } of messages)
      if (objects(content).length === 0) throw new InvalidRequest('The content field is empty.');
    const config = isObject(body.inferenceConfig) ? body.inferenceConfig : {};
    const { role, content } = messages.at(-1)!;
    const last = objects(content).map(({ text }) => (typeof text === 'string' ? text : ''));
    return {
      model,
      inputTokens: countMessages(messages, body.system, body.toolConfig),
      maxTokens: readMaxTokens(config, ['maxTokens']),
      stream: body.stream === true,
      body: { ...body, ...toolsOf(body.toolConfig), messages: [{ role, content: last.join('') }] },
    };
  },
  answer: (prompt, generation, usage) =>
    prompt.stream ? streamed(prompt, generation, usage) : whole(prompt, generation, usage),
};

/** Tools and the choice among them, as the simulator looks for them. */
function toolsOf(config: unknown): JsonObject {
  const { tools, toolChoice } = isObject(config) ? config : {};
  const specs = objects(tools).flatMap(({ toolSpec }) => (isObject(toolSpec) ? [toolSpec] : []));
  if (specs.length === 0) return { tools: undefined };
  const choice = isObject(toolChoice) ? toolChoice : {};
  const named = isObject(choice.tool) ? { type: 'function', name: choice.tool.name } : 'auto';
  return {
    tools: specs.map(({ name, inputSchema }) => ({
      name,
      parameters: isObject(inputSchema) ? inputSchema.json : undefined,
    })),
    tool_choice: isObject(choice.any) ? 'required' : named,
  };
}

const stopOf = ({ toolCall, cutShort }: Generation) => {
  if (toolCall) return 'tool_use';
  return cutShort ? 'max_tokens' : 'end_turn';
};

const tokensOf = ({ inputTokens }: Prompt, outputTokens: number): JsonObject => ({
  inputTokens,
  outputTokens,
  totalTokens: inputTokens + outputTokens,
  cacheReadInputTokens: 0,
  cacheWriteInputTokens: 0,
});

function whole(prompt: Prompt, generation: Generation, usage: UsageFilter): Answer {
  const { toolCall, outputTokens } = generation;
  const block = toolCall
    ? {
        toolUse: {
          toolUseId: `tooluse_${toolCall.id}`,
          name: toolCall.name,
          input: JSON.parse(toolCall.argumentsText) as unknown,
        },
      }
    : { text: generation.text() };
  return jsonAnswer(
    {
      output: { message: { role: 'assistant', content: [block] } },
      stopReason: stopOf(generation),
      usage: usage(tokensOf(prompt, outputTokens)),
      metrics: { latencyMs: 1 },
    },
    outputTokens,
  );
}

function streamed(prompt: Prompt, generation: Generation, usage: UsageFilter): Answer {
  const { toolCall, outputTokens } = generation;
  const start = toolCall
    ? eventFrame('contentBlockStart', {
        contentBlockIndex: 0,
        start: { toolUse: { toolUseId: `tooluse_${toolCall.id}`, name: toolCall.name } },
      })
    : '';
  const delta = (word: string) => (toolCall ? { toolUse: { input: word } } : { text: word });
  return {
    contentType: awsEventStream,
    encoding: 'latin1',
    opening: eventFrame('messageStart', { role: 'assistant' }) + start,
    pieces: generation
      .words()
      .map((word) => eventFrame('contentBlockDelta', { contentBlockIndex: 0, delta: delta(word) })),
    closing:
      eventFrame('contentBlockStop', { contentBlockIndex: 0 }) +
      eventFrame('messageStop', { stopReason: stopOf(generation) }) +
      eventFrame('metadata', { usage: usage(tokensOf(prompt, outputTokens)), metrics: { latencyMs: 1 } }),
    outputTokens,
  };
}
