import { countMessages } from '../count-tokens.ts';
import {
  type Answer,
  around,
  type Endpoint,
  eventStream,
  type Generation,
  hole,
  InvalidRequest,
  isObject,
  type JsonObject,
  jsonAnswer,
  type Prompt,
  type UsageFilter,
} from './endpoint.ts';
import { readMaxTokens, readModel } from './read-fields.ts';

const dimensionsOfAVector = 768;
const objects = (value: unknown): JsonObject[] => (Array.isArray(value) ? value : [value]).filter(isObject);

/** Google `:generateContent`, and `:streamGenerateContent` as server-sent events. */
export const geminiGenerate: Endpoint = {
  path: '/v1beta/models/{model}:generateContent',
  dialect: 'gemini',
  generation: true,
  read(body) {
    const config = isObject(body.generationConfig) ? body.generationConfig : {};
    const prompt = readPrompt(body);
    return {
      ...prompt,
      maxTokens: readMaxTokens(config, ['maxOutputTokens']),
      stream: body.stream === true,
      body: { ...body, ...toolsOf(body), messages: [lastTurn(objects(body.contents).at(-1))] },
    };
  },
  answer: (prompt, generation, usage) =>
    prompt.stream ? streamed(prompt, generation, usage) : whole(prompt, generation, usage),
};

/** Google `:countTokens`, free. */
export const geminiCountTokens: Endpoint = {
  path: '/v1beta/models/{model}:countTokens',
  dialect: 'gemini',
  generation: false,
  read: (body) =>
    readPrompt(
      isObject(body.generateContentRequest) ? { ...body.generateContentRequest, model: body.model } : body,
    ),
  answer: ({ inputTokens }) => jsonAnswer({ totalTokens: inputTokens }, 0),
};

/** Google `:embedContent`. */
export const geminiEmbed: Endpoint = {
  path: '/v1beta/models/{model}:embedContent',
  dialect: 'gemini',
  generation: true,
  read: (body) => readEmbedding(body, [body]),
  answer: (prompt, generation) => jsonAnswer({ embedding: vectorOf(prompt.body, generation) }, 0),
};

/** Google `:batchEmbedContents`. */
export const geminiEmbedMany: Endpoint = {
  path: '/v1beta/models/{model}:batchEmbedContents',
  dialect: 'gemini',
  generation: true,
  read(body) {
    const requests = objects(body.requests);
    for (const { model } of requests)
      if (model !== `models/${String(body.model)}`)
        throw new InvalidRequest('The model of every request must be that of the path.');
    return readEmbedding(body, requests);
  },
  answer: (prompt, generation) =>
    jsonAnswer({ embeddings: objects(prompt.body.requests).map((each) => vectorOf(each, generation)) }, 0),
};

function readPrompt(body: JsonObject): Prompt {
  const model = readModel(body, 'model is required');
  const contents = objects(body.contents);
  if (contents.length === 0)
    throw new InvalidRequest('* GenerateContentRequest.contents: contents is not specified');
  for (const { parts } of contents)
    if (!Array.isArray(parts)) throw new InvalidRequest('contents.parts must not be empty.');
  const inputTokens = countMessages(contents, body.systemInstruction, body.tools);
  return { model, inputTokens, maxTokens: undefined, stream: false, body };
}

function readEmbedding(body: JsonObject, requests: JsonObject[]): Prompt {
  const model = readModel(body, 'model is required');
  if (requests.length === 0 || !requests.every(({ content }) => isObject(content)))
    throw new InvalidRequest('content contains an empty Part.');
  const inputTokens = countMessages(requests.map(({ content }) => content));
  return { model, inputTokens, maxTokens: 0, stream: false, body };
}

const vectorOf = ({ content, outputDimensionality }: JsonObject, generation: Generation): JsonObject => ({
  values: Array.from(
    generation.vector(
      JSON.stringify(content),
      typeof outputDimensionality === 'number' ? outputDimensionality : dimensionsOfAVector,
    ),
  ),
});

/** Tools and the choice among them, as the simulator looks for them. */
function toolsOf({ tools, toolConfig }: JsonObject): JsonObject {
  const declared = objects(tools).flatMap(({ functionDeclarations }) => objects(functionDeclarations));
  if (declared.length === 0) return { tools: undefined };
  const calling = isObject(toolConfig) ? toolConfig.functionCallingConfig : undefined;
  const { mode, allowedFunctionNames: allowed } = isObject(calling) ? calling : {};
  const named = Array.isArray(allowed) ? { type: 'function', name: allowed[0] as unknown } : 'required';
  return {
    tools: declared.map(({ name, parameters, parametersJsonSchema }) => ({
      name,
      parameters: lowerTypes(parametersJsonSchema ?? parameters),
    })),
    tool_choice: mode === 'ANY' ? named : 'auto',
  };
}

/** Google writes the types of its own schemas in capitals. */
function lowerTypes(schema: unknown): unknown {
  return JSON.parse(JSON.stringify(schema ?? {}), (key, value: unknown) =>
    key === 'type' && typeof value === 'string' ? value.toLowerCase() : value,
  ) as unknown;
}

const lastTurn = (content: JsonObject | undefined): JsonObject => ({
  role: content?.role ?? 'user',
  content: objects(content?.parts)
    .map(({ text }) => (typeof text === 'string' ? text : ''))
    .join(''),
});

function whole(prompt: Prompt, generation: Generation, usage: UsageFilter): Answer {
  const part = generation.toolCall ? callPart(generation) : { text: generation.text() };
  const ending = { finishReason: finishOf(generation), avgLogprobs: -0.1 };
  return jsonAnswer(
    answerBody(prompt, generation, [part], ending, usage(tokensOf(prompt, generation.outputTokens))),
    generation.outputTokens,
  );
}

function streamed(prompt: Prompt, generation: Generation, usage: UsageFilter): Answer {
  const { outputTokens } = generation;
  const last = usage(tokensOf(prompt, outputTokens));
  if (generation.toolCall) {
    // A call is never cut into pieces.
    const closing = eventOf(
      answerBody(prompt, generation, [callPart(generation)], { finishReason: 'STOP' }, last),
    );
    return { contentType: eventStream, opening: '', pieces: [], closing, outputTokens };
  }
  const piece = answerBody(prompt, generation, [{ text: hole }], {}, usage(tokensOf(prompt, undefined)));
  const [before, after] = around(eventOf(piece));
  const pieces = generation.words().map((word) => before + JSON.stringify(word) + after);
  const closing = eventOf(
    answerBody(prompt, generation, [{ text: '' }], { finishReason: finishOf(generation) }, last),
  );
  return { contentType: eventStream, opening: '', pieces, closing, outputTokens };
}

const eventOf = (body: JsonObject) => `data: ${JSON.stringify(body)}\r\n\r\n`;

function callPart({ toolCall }: Generation): JsonObject {
  const { name, argumentsText } = toolCall!;
  return { functionCall: { name, args: JSON.parse(argumentsText) as unknown }, thoughtSignature: 'c2lt' };
}

const finishOf = ({ cutShort, toolCall }: Generation) => (cutShort && !toolCall ? 'MAX_TOKENS' : 'STOP');

function answerBody(
  prompt: Prompt,
  generation: Generation,
  parts: JsonObject[],
  ending: JsonObject,
  usageMetadata: unknown,
): JsonObject {
  return {
    candidates: [{ content: { parts, role: 'model' }, ...ending, index: 0 }],
    usageMetadata,
    modelVersion: prompt.model,
    responseId: generation.id,
  };
}

/** What was not produced yet is not named. */
function tokensOf({ inputTokens }: Prompt, outputTokens: number | undefined): JsonObject {
  const details = { promptTokensDetails: [{ modality: 'TEXT', tokenCount: inputTokens }] };
  const written = outputTokens === undefined ? {} : { candidatesTokenCount: outputTokens };
  return {
    promptTokenCount: inputTokens,
    ...written,
    totalTokenCount: inputTokens + (outputTokens ?? 0),
    ...details,
  };
}
