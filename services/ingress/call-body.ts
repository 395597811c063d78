import { z } from 'zod';
import { type Endpoint, generates } from '#shared/contracts/endpoint.ts';
import type { CallAxes, JobRequest, RouteTarget, StreamMode } from '#shared/contracts/job.ts';
import { outgoing, withMaximum } from '#shared/contracts/outgoing-body.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { KeyAccess } from '#shared/tenants/key-access.ts';
import { maxOutputTokens } from '#shared/tokens/estimate-tokens.ts';
import { withBodyUser } from './call-axes.ts';
import type { CallOptions } from './call-options.ts';
import { callBodies } from './call-schemas.ts';
import type { CallPlan, Router } from './routing/router.ts';

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

/**
 * The request of a call: validated where Sluice routes and counts by it, otherwise the same object re-serialised, so
 * that what was checked is what is sent.
 *
 * @throws SluiceError invalid_request, streaming_not_supported, not_translatable, or what placeForKey throws
 */
export function readCall(
  endpoint: Endpoint,
  body: unknown,
  router: Router,
  options: ReadOptions,
  headers: Record<string, string>,
  metadata: Record<string, string>,
): JobRequest {
  const parsed = callBodies[endpoint].safeParse(body);
  if (!parsed.success) throw invalidRequest(parsed.error);
  const { tenant, axes, ruleHeaders = {}, delivery } = options;
  const { fallbacks: named, ...data }: Record<string, unknown> = parsed.data;
  const namedAxes = withBodyUser(axes, parsed.data);
  const isOpen = generates(endpoint) && maxOutputTokens(data) === undefined;
  const outputCap = isOpen ? router.outputCapOf(tenant, namedAxes) : undefined;
  const plan = router.plan({
    endpoint,
    asked: parsed.data.model,
    // What is stored is what the caller sent; it is reckoned with what its provider will be asked for.
    body: outputCap === undefined ? data : withMaximum(endpoint, data, outputCap, 'max_completion_tokens'),
    fallbacks: readFallbacks(named, router.fallbacksMax),
    tenant,
    access: options.access,
    axes: namedAxes,
    metadata,
    headers: ruleHeaders,
    priority: options.priority,
  });
  const { fallbacks: _, ...sent } = body as Record<string, unknown>;
  const { stream, changed } = readStream(endpoint, parsed.data);
  const { place, tokens, priority, route, mirror } = plan;
  const call = { endpoint, headers, delivery, metadata };
  return {
    ...call,
    tokens,
    model: place.model,
    provider: place.provider,
    pool: place.pool,
    // The model of a call with a route is set when it is sent, to that of the target it is at.
    body: JSON.stringify(
      route
        ? { ...sent, ...changed, model: route.asked }
        : outgoing(endpoint, { ...sent, ...changed }, place.model),
    ),
    ...(stream ? { stream } : {}),
    ...(plan.dropped ? { dropped: plan.dropped } : {}),
    priority,
    axes: plan.axes,
    ...(route ? { route } : {}),
    ...(outputCap === undefined ? {} : { outputCap }),
    ...(mirror ? { mirror: mirrorOf(call, mirror, sent, plan) } : {}),
  };
}

export interface ReadOptions extends Pick<CallOptions, 'priority' | 'delivery'> {
  tenant: string;
  axes: CallAxes;
  /** What the key may call. */
  access: KeyAccess;
  /** Headers that rules may read. */
  ruleHeaders?: Record<string, string>;
}

/** Models that a call names to fall back on; no provider knows the parameter. @throws SluiceError invalid_request */
function readFallbacks(value: unknown, limit: number): string[] | undefined {
  if (value === undefined || value === null) return undefined;
  const parsed = z.array(z.string().min(1).max(300)).max(limit).safeParse(value);
  if (parsed.success) return parsed.data;
  const fields = { reason: `fallbacks: name up to ${limit} models` };
  throw new SluiceError('invalid_request', { fields, param: 'fallbacks' });
}

const lastPriority = 9;

/** The copy of a call: nobody awaits it, it is served last, and no limit of its caller counts it. */
function mirrorOf(
  { endpoint, headers, metadata }: Pick<JobRequest, 'endpoint' | 'headers' | 'metadata'>,
  target: RouteTarget,
  sent: Record<string, unknown>,
  { axes }: CallPlan,
): JobRequest {
  const { stream: _stream, stream_options: _options, ...body } = sent;
  return {
    endpoint,
    headers,
    metadata,
    delivery: 'retry',
    tokens: target.tokens,
    model: target.model,
    provider: target.provider,
    pool: target.pool,
    body: JSON.stringify(outgoing(endpoint, body, target.model)),
    priority: lastPriority,
    axes: { key: mirrorAxis, feature: mirrorAxis, route: axes.route },
    isCopy: true,
  };
}

/** Stands for the key and the feature of copies, so that what they cost is told apart. */
const mirrorAxis = 'mirror';
