/** Routes a job can stand for. */
export const endpoints = [
  '/v1/chat/completions',
  '/v1/responses',
  '/v1/completions',
  '/v1/embeddings',
  '/v1/messages',
] as const;
export type Endpoint = (typeof endpoints)[number];

/** Wire format of a provider, and of the routes that speak it. */
export type Dialect = 'openai' | 'anthropic';

/** The dialect each route speaks. */
export const endpointDialect: Record<Endpoint, Dialect> = {
  '/v1/chat/completions': 'openai',
  '/v1/responses': 'openai',
  '/v1/completions': 'openai',
  '/v1/embeddings': 'openai',
  '/v1/messages': 'anthropic',
};
