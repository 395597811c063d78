import type { Operation } from '#shared/contracts/endpoint.ts';
import { type Fields, untranslatable } from './fields.ts';

/** What answers OpenAI's embeddings at a provider that speaks Gemini. */
export const embeddingOperation: Operation = '/v1beta/models/{model}:batchEmbedContents';

const known = new Set(['model', 'input', 'dimensions', 'encoding_format']);

/**
 * OpenAI's embedding call in Gemini's words, and the parameters it has none for.
 *
 * @throws SluiceError not_translatable
 */
export function translateEmbedding(body: Fields, model: string): { body: Fields; dropped: string[] } {
  const texts = [body.input].flat();
  if (!texts.every((text) => typeof text === 'string'))
    throw untranslatable('input', 'tokens of one vocabulary mean nothing in another; send texts');
  const { dimensions } = body;
  const size = typeof dimensions === 'number' ? { outputDimensionality: dimensions } : {};
  const requests = texts.map((text) => ({
    model: `models/${model}`,
    content: { parts: [{ text }] },
    ...size,
  }));
  return {
    body: { requests },
    dropped: Object.keys(body)
      .filter((name) => !known.has(name))
      .toSorted(),
  };
}
