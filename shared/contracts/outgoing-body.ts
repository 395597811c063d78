import { type Endpoint, endpointDialect, modelInPath } from './endpoint.ts';

type Fields = Record<string, unknown>;

/** What chat completions call a maximum of output tokens: OpenAI's own models, and others. */
export type ChatMaximum = 'max_completion_tokens' | 'max_tokens';

/** The body with a maximum of output tokens, in the words of its endpoint. */
export function withMaximum(endpoint: Endpoint, body: Fields, tokens: number, inChat: ChatMaximum): Fields {
  if (endpoint === '/v1/chat/completions') return { ...body, [inChat]: tokens };
  if (endpoint === '/v1/responses') return { ...body, max_output_tokens: tokens };
  if (endpointDialect[endpoint] !== 'gemini') return { ...body, max_tokens: tokens };
  const config = body.generationConfig as Fields | undefined;
  return { ...body, generationConfig: { ...config, maxOutputTokens: tokens } };
}

/** The body as its provider takes it: with its own name of the model, where the body is the place for it. */
export function outgoing(endpoint: Endpoint, body: Fields, model: string): Fields {
  if (!modelInPath(endpoint)) return { ...body, model };
  const { model: _model, stream: _stream, ...rest } = body;
  if (endpoint !== '/v1beta/models/{model}:batchEmbedContents') return rest;
  // Each of them names the model once more.
  const requests = (rest.requests as Fields[]).map((each) => ({ ...each, model: `models/${model}` }));
  return { ...rest, requests };
}
