import { type Endpoint, modelInPath } from './endpoint.ts';

type Fields = Record<string, unknown>;

/** The body as its provider takes it: with its own name of the model, where the body is the place for it. */
export function outgoing(endpoint: Endpoint, body: Fields, model: string): Fields {
  if (!modelInPath(endpoint)) return { ...body, model };
  const { model: _model, stream: _stream, ...rest } = body;
  if (endpoint !== '/v1beta/models/{model}:batchEmbedContents') return rest;
  // Each of them names the model once more.
  const requests = (rest.requests as Fields[]).map((each) => ({ ...each, model: `models/${model}` }));
  return { ...rest, requests };
}
