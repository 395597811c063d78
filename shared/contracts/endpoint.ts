/**
 * Routes a job can stand for. `{model}` stands for a model that the path names; in the body of a job or of a line of a
 * batch it is the field `model`, as everywhere.
 */
export const endpoints = [
  '/v1/chat/completions',
  '/v1/responses',
  '/v1/completions',
  '/v1/embeddings',
  '/v1/messages',
  '/v1/messages/count_tokens',
  '/v1beta/models/{model}:generateContent',
  '/v1beta/models/{model}:embedContent',
  '/v1beta/models/{model}:batchEmbedContents',
  '/v1beta/models/{model}:countTokens',
] as const;
export type Endpoint = (typeof endpoints)[number];

/** What a provider is asked in its own wire format: as the caller asked us, or on a path that has no route here. */
export type Operation = Endpoint | '/model/{model}/converse';

/** Wire formats: how calls, answers, streams and errors are written. */
export type Dialect = 'openai' | 'anthropic' | 'gemini' | 'bedrock';

/** The wire format of each operation. */
export const endpointDialect: Record<Operation, Dialect> = {
  '/v1/chat/completions': 'openai',
  '/v1/responses': 'openai',
  '/v1/completions': 'openai',
  '/v1/embeddings': 'openai',
  '/v1/messages': 'anthropic',
  '/v1/messages/count_tokens': 'anthropic',
  '/v1beta/models/{model}:generateContent': 'gemini',
  '/v1beta/models/{model}:embedContent': 'gemini',
  '/v1beta/models/{model}:batchEmbedContents': 'gemini',
  '/v1beta/models/{model}:countTokens': 'gemini',
  '/model/{model}/converse': 'bedrock',
};

/** Kinds of provider: each has an adapter of its own, and speaks one wire format. */
export type ProviderKind = 'openai' | 'azure' | 'anthropic' | 'gemini' | 'vertex' | 'bedrock';

export const providerDialect: Record<ProviderKind, Dialect> = {
  openai: 'openai',
  azure: 'openai',
  anthropic: 'anthropic',
  gemini: 'gemini',
  vertex: 'gemini',
  bedrock: 'bedrock',
};

const translatable: readonly Endpoint[] = [
  '/v1/chat/completions',
  '/v1/responses',
  '/v1/completions',
  '/v1/messages',
  '/v1beta/models/{model}:generateContent',
];

/**
 * Whether a call of the endpoint is translated for a provider of this dialect. The one place that says so: any other pair
 * of different dialects cannot serve each other.
 */
export function isTranslated(endpoint: Endpoint, dialect: Dialect): boolean {
  if (endpoint === '/v1/embeddings') return dialect === 'gemini';
  return endpointDialect[endpoint] !== dialect && translatable.includes(endpoint);
}

/** Operations whose model is in the path, and not in the body that is sent. */
export const modelInPath = (operation: Operation) => operation.includes('{model}');

const withoutOutput: readonly Operation[] = [
  '/v1/embeddings',
  '/v1/messages/count_tokens',
  '/v1beta/models/{model}:embedContent',
  '/v1beta/models/{model}:batchEmbedContents',
  '/v1beta/models/{model}:countTokens',
];

/** Whether a model writes an answer: it may be streamed, and has output tokens. */
export const generates = (operation: Operation) => !withoutOutput.includes(operation);

const counting: readonly Operation[] = ['/v1/messages/count_tokens', '/v1beta/models/{model}:countTokens'];

/** Whether only tokens are counted: such a call is a request, but uses none. */
export const onlyCounts = (operation: Operation) => counting.includes(operation);
