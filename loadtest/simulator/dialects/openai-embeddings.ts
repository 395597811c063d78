import { countText } from '../count-tokens.ts';
import {
  type Endpoint,
  type Generation,
  InvalidRequest,
  type JsonObject,
  jsonAnswer,
  type Prompt,
} from './endpoint.ts';
import { readMaxTokens, readModel } from './read-fields.ts';

const maxInputs = 2048;
const maxDimensions = 3072;

/** OpenAI `POST /v1/embeddings`, as floats or as base64 of little-endian float32. */
export const openaiEmbeddings: Endpoint = {
  path: '/v1/embeddings',
  dialect: 'openai',
  generation: true,
  read(body) {
    const model = readModel(body, 'you must provide a model parameter');
    const inputTokens = inputsOf(body).reduce((sum: number, input) => sum + tokensOf(input), 0);
    const dimensions = readMaxTokens(body, ['dimensions']);
    if (dimensions !== undefined && dimensions > maxDimensions) {
      throw new InvalidRequest(`dimensions: at most ${maxDimensions}`, 'dimensions');
    }
    // Embeddings produce no output tokens, so the maximum is known.
    return { model, inputTokens, maxTokens: 0, stream: false, body };
  },
  answer(prompt, generation, usage) {
    const data = inputsOf(prompt.body).map((input, index) => ({
      object: 'embedding',
      index,
      embedding: encoded(prompt, generation, typeof input === 'string' ? input : JSON.stringify(input)),
    }));
    const counted = { prompt_tokens: prompt.inputTokens, total_tokens: prompt.inputTokens };
    return jsonAnswer({ object: 'list', data, model: prompt.model, usage: usage(counted) }, 0);
  },
};

function inputsOf(body: JsonObject): unknown[] {
  const { input } = body;
  if (typeof input === 'string') return [input];
  if (!Array.isArray(input) || input.length === 0) {
    throw new InvalidRequest("Missing required parameter: 'input'.", 'input');
  }
  const inputs = typeof input[0] === 'number' ? [input] : (input as unknown[]);
  if (inputs.length > maxInputs) throw new InvalidRequest(`input: at most ${maxInputs} entries`, 'input');
  return inputs;
}

function tokensOf(input: unknown): number {
  if (typeof input === 'string') return countText(input);
  if (Array.isArray(input)) return input.length;
  throw new InvalidRequest('input: every entry must be a string or an array of tokens', 'input');
}

function encoded(prompt: Prompt, generation: Generation, text: string): string | number[] {
  const standard = prompt.model.includes('3-large') ? maxDimensions : 1536;
  const dimensions = readMaxTokens(prompt.body, ['dimensions']) ?? standard;
  const vector = generation.vector(text, dimensions);
  return prompt.body.encoding_format === 'base64'
    ? Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString('base64')
    : Array.from(vector);
}
