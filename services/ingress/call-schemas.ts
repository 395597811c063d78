import { z } from 'zod';
import type { Endpoint } from '#shared/contracts/endpoint.ts';

const model = z.string().min(1).max(300);
const message = z.looseObject({ role: z.string() });
const tokens = z.int().min(1).nullish();
const stream = z.boolean().nullish();

const chatBody = z
  .looseObject({
    model,
    stream,
    messages: z.array(message).min(1).describe('The conversation, as OpenAI defines it.'),
    max_tokens: tokens,
    max_completion_tokens: tokens,
    temperature: z.number().nullish(),
  })
  .meta({
    id: 'ChatCompletionRequest',
    description: 'OpenAI chat completion; parameters not named here are passed on untouched.',
  });

const responsesBody = z
  .looseObject({
    model,
    stream,
    input: z.union([z.string(), z.array(z.looseObject({}))]).nullish(),
    max_output_tokens: tokens,
    temperature: z.number().nullish(),
  })
  .meta({
    id: 'ResponseRequest',
    description: 'OpenAI response; parameters not named here are passed on untouched.',
  });

const completionsBody = z
  .looseObject({
    model,
    stream,
    prompt: z.union([z.string(), z.array(z.union([z.string(), z.int(), z.array(z.int())]))]).nullish(),
    max_tokens: tokens,
    temperature: z.number().nullish(),
  })
  .meta({
    id: 'CompletionRequest',
    description: 'OpenAI completion; parameters not named here are passed on untouched.',
  });

const embeddingsBody = z
  .looseObject({
    model,
    input: z.union([z.string(), z.array(z.union([z.string(), z.int(), z.array(z.int())])).min(1)]),
  })
  .meta({
    id: 'EmbeddingRequest',
    description: 'OpenAI embedding; parameters not named here are passed on untouched.',
  });

const messagesBody = z
  .looseObject({
    model,
    stream,
    max_tokens: z.int().min(1),
    messages: z.array(message).min(1).describe('The conversation, as Anthropic defines it.'),
    temperature: z.number().nullish(),
  })
  .meta({
    id: 'MessageRequest',
    description: 'Anthropic message; parameters not named here are passed on untouched.',
  });

const countTokensBody = z.looseObject({ model, messages: z.array(message).min(1) }).meta({
  id: 'CountTokensRequest',
  description: 'Anthropic token count; parameters not named here are passed on untouched.',
});

const content = z.looseObject({ parts: z.array(z.looseObject({})).nullish() });
const contents = z.union([z.array(content).min(1), content]);

const generateContentBody = z
  .looseObject({
    model,
    stream,
    contents: contents.describe('The conversation, as Google defines it.'),
    generationConfig: z.looseObject({ maxOutputTokens: tokens, temperature: z.number().nullish() }).nullish(),
  })
  .meta({
    id: 'GenerateContentRequest',
    description:
      'Gemini call. `model` and `stream` are read from the path where it names them; they are not passed on, all else is untouched.',
  });

const embedContentBody = z
  .looseObject({ model, content })
  .meta({ id: 'EmbedContentRequest', description: 'Gemini embedding; all else is passed on untouched.' });

const batchEmbedContentsBody = z
  .looseObject({ model, requests: z.array(z.looseObject({ content })).min(1) })
  .meta({
    id: 'BatchEmbedContentsRequest',
    description: 'Several Gemini embeddings in one call; all else is passed on untouched.',
  });

const countGeminiBody = z
  .looseObject({ model })
  .meta({ id: 'GeminiCountTokensRequest', description: 'Gemini token count, passed on untouched.' });

/** What each endpoint must hold; everything else passes through. */
export const callBodies = {
  '/v1/chat/completions': chatBody,
  '/v1/responses': responsesBody,
  '/v1/completions': completionsBody,
  '/v1/embeddings': embeddingsBody,
  '/v1/messages': messagesBody,
  '/v1/messages/count_tokens': countTokensBody,
  '/v1beta/models/{model}:generateContent': generateContentBody,
  '/v1beta/models/{model}:embedContent': embedContentBody,
  '/v1beta/models/{model}:batchEmbedContents': batchEmbedContentsBody,
  '/v1beta/models/{model}:countTokens': countGeminiBody,
} as const satisfies Record<Endpoint, z.ZodType>;
