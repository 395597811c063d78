import { z } from 'zod';
import type { Endpoint } from '#shared/contracts/endpoint.ts';
import type { CallAxes, JobRequest, StreamMode } from '#shared/contracts/job.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import { withBodyUser } from './call-axes.ts';
import type { CallOptions } from './call-options.ts';
import type { ModelTable } from './model-table.ts';

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

/** What each endpoint must hold; everything else passes through. */
export const callBodies = {
  '/v1/chat/completions': chatBody,
  '/v1/responses': responsesBody,
  '/v1/completions': completionsBody,
  '/v1/embeddings': embeddingsBody,
  '/v1/messages': messagesBody,
} as const satisfies Record<Endpoint, z.ZodType>;

function describeIssue(issue: z.core.$ZodIssue | undefined): { reason: string; param: string | undefined } {
  const param = issue?.path.map(String).join('.') || undefined;
  return { reason: `${param ?? 'The body'}: ${issue?.message ?? 'not valid'}`, param };
}

/** The catalogued error of a failed zod validation. */
export function invalidRequest(error: z.ZodError): SluiceError {
  const { reason, param } = describeIssue(error.issues[0]);
  return new SluiceError('invalid_request', { fields: { reason }, ...(param ? { param } : {}) });
}

/** Endpoints that tell their usage in a stream only when asked. */
const usageOnRequest: readonly Endpoint[] = ['/v1/chat/completions', '/v1/completions'];

/** How an answer is streamed, and what that changes in the body. @throws SluiceError streaming_not_supported */
function readStream(
  endpoint: Endpoint,
  body: Record<string, unknown>,
): { stream?: StreamMode; changed?: Record<string, unknown> } {
  if (body.stream !== true) return {};
  if (endpoint === '/v1/embeddings') throw new SluiceError('streaming_not_supported', { param: 'stream' });
  const options = (body.stream_options ?? {}) as Record<string, unknown>;
  if (!usageOnRequest.includes(endpoint) || options.include_usage === true) return { stream: 'as_is' };
  // What a call has cost is settled from its usage, so it is asked for on behalf of callers that do not.
  return { stream: 'usage_hidden', changed: { stream_options: { ...options, include_usage: true } } };
}

/**
 * The request of a call: validated where Sluice routes and counts by it, otherwise the same object re-serialised, so
 * that what was checked is what is sent.
 *
 * @throws SluiceError invalid_request, streaming_not_supported or model_not_found
 */
export function readCall(
  endpoint: Endpoint,
  body: unknown,
  models: ModelTable,
  options: Pick<CallOptions, 'priority' | 'delivery'> & { tenant: string; axes: CallAxes },
  headers: Record<string, string>,
  metadata: Record<string, string>,
): JobRequest {
  const parsed = callBodies[endpoint].safeParse(body);
  if (!parsed.success) throw invalidRequest(parsed.error);
  const place = models.resolve(parsed.data.model, endpoint);
  const { stream, changed } = readStream(endpoint, parsed.data);
  return {
    endpoint,
    tokens: models.reckon(place, parsed.data, options.tenant, endpoint),
    model: place.model,
    provider: place.provider,
    pool: place.pool,
    body: JSON.stringify({ ...(body as Record<string, unknown>), ...changed, model: place.model }),
    ...(stream ? { stream } : {}),
    headers,
    priority: options.priority,
    delivery: options.delivery,
    metadata,
    axes: withBodyUser(options.axes, parsed.data),
  };
}
