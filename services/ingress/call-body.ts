import type { z } from 'zod';
import { type Endpoint, generates, isTranslated, modelInPath } from '#shared/contracts/endpoint.ts';
import type { CallAxes, JobRequest, StreamMode } from '#shared/contracts/job.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import { translateCall } from '#shared/translation/translate-call.ts';
import { withBodyUser } from './call-axes.ts';
import type { CallOptions } from './call-options.ts';
import { callBodies } from './call-schemas.ts';
import type { ModelTable, ServedModel } from './model-table.ts';

function describeIssue(issue: z.core.$ZodIssue | undefined): { reason: string; param: string | undefined } {
  const param = issue?.path.map(String).join('.') || undefined;
  return { reason: `${param ?? 'The body'}: ${issue?.message ?? 'not valid'}`, param };
}

/** The catalogued error of a failed zod validation. */
export function invalidRequest(error: z.ZodError): SluiceError {
  const { reason, param } = describeIssue(error.issues[0]);
  return new SluiceError('invalid_request', { fields: { reason }, ...(param ? { param } : {}) });
}

type Fields = Record<string, unknown>;

/** Endpoints that tell their usage in a stream only when asked. */
const usageOnRequest: readonly Endpoint[] = ['/v1/chat/completions', '/v1/completions'];

/** How an answer is streamed, and what that changes in the body. @throws SluiceError streaming_not_supported */
function readStream(endpoint: Endpoint, body: Fields): { stream?: StreamMode; changed?: Fields } {
  if (body.stream !== true) return {};
  if (!generates(endpoint)) throw new SluiceError('streaming_not_supported', { param: 'stream' });
  const options = (body.stream_options ?? {}) as Fields;
  if (!usageOnRequest.includes(endpoint) || options.include_usage === true) return { stream: 'as_is' };
  // What a call has cost is settled from its usage, so it is asked for on behalf of callers that do not.
  return { stream: 'usage_hidden', changed: { stream_options: { ...options, include_usage: true } } };
}

/** The body as its provider takes it: with its own name of the model, where the body is the place for it. */
function outgoing(endpoint: Endpoint, body: Fields, model: string): Fields {
  if (!modelInPath(endpoint)) return { ...body, model };
  const { model: _model, stream: _stream, ...rest } = body;
  if (endpoint !== '/v1beta/models/{model}:batchEmbedContents') return rest;
  // Each of them names the model once more.
  const requests = (rest.requests as Fields[]).map((each) => ({ ...each, model: `models/${model}` }));
  return { ...rest, requests };
}

/**
 * A call for a provider of another dialect is translated now, too, so that what cannot be said there is refused at once.
 * It is stored in the caller's own dialect: another pool may yet serve it.
 */
function readTranslated(
  endpoint: Endpoint,
  body: Fields,
  place: ServedModel,
  models: ModelTable,
): { reckoned: Fields; dropped?: string[] } {
  if (!isTranslated(endpoint, place.dialect)) return { reckoned: body };
  const { options, dropped } = translateCall(
    endpoint,
    body,
    place.dialect,
    models.maxTokensTranslated(place),
  );
  const max = options.maxOutputTokens;
  const reckoned = max === undefined ? body : { ...body, max_completion_tokens: max };
  return dropped.length > 0 ? { reckoned, dropped } : { reckoned };
}

/**
 * The request of a call: validated where Sluice routes and counts by it, otherwise the same object re-serialised, so
 * that what was checked is what is sent.
 *
 * @throws SluiceError invalid_request, streaming_not_supported, model_not_found or not_translatable
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
  const { dropped, reckoned } = readTranslated(endpoint, body as Fields, place, models);
  return {
    endpoint,
    tokens: models.reckon(place, reckoned, options.tenant, endpoint),
    model: place.model,
    provider: place.provider,
    pool: place.pool,
    body: JSON.stringify(outgoing(endpoint, { ...(body as Fields), ...changed }, place.model)),
    ...(stream ? { stream } : {}),
    ...(dropped ? { dropped } : {}),
    headers,
    priority: options.priority,
    delivery: options.delivery,
    metadata,
    axes: withBodyUser(options.axes, parsed.data),
  };
}
