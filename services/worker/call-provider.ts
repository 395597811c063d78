import type { ProviderSettings } from '#config/schema.ts';
import { isTranslated, providerDialect } from '#shared/contracts/endpoint.ts';
import type { BegunJob } from '#shared/jobs/job-store.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import { withoutSeals } from '#shared/translation/without-seals.ts';
import type { AttemptResult } from './attempt-result.ts';
import type { BodySink, ProviderClient, ProviderResponse } from './http/provider-client.ts';
import { failureOf, judgeAnswer } from './judge-answer.ts';
import type { OutgoingCall } from './providers/provider-adapter.ts';
import { sendCall } from './send-call.ts';
import type { ProviderStream } from './streams/provider-stream.ts';

export interface ProviderCall {
  job: BegunJob;
  jobId: string;
  settings: ProviderSettings;
  /** Pool of the provider that the job is in. */
  pool: string;
  apiKey: string;
  signal: AbortSignal;
  /** Set when the job is streamed: takes the answer while it comes. */
  stream: ProviderStream | undefined;
}

/** Makes one provider request and says what came of it; never throws for what a provider does. */
export async function callProvider(
  client: ProviderClient,
  clock: Clock,
  call: ProviderCall,
): Promise<AttemptResult> {
  const { job, stream } = call;
  const { endpoint: operation, body, headers } = job;
  if (isTranslated(operation, providerDialect[call.settings.dialect])) return translate(client, clock, call);
  try {
    // The caller's endpoint is an operation of the provider: what it asked is sent as it is, but for what was sealed for others.
    const asked = { operation, body: withoutSeals(operation, body), headers };
    const response = await send(client, clock, call, asked, stream);
    const nowMs = clock.nowMs();
    return stream?.took ? stream.ended(nowMs) : judgeAnswer(response, operation, nowMs);
  } catch (error) {
    const failure = failureOf(error);
    return stream?.broken(failure) ?? failure;
  }
}

/** The translation, and what it needs, is loaded with the first call that needs it. */
async function translate(client: ProviderClient, clock: Clock, call: ProviderCall): Promise<AttemptResult> {
  const { callTranslated } = await import('./translate/call-translated.ts');
  const { job, jobId, stream, settings, pool } = call;
  return callTranslated({
    job,
    jobId,
    stream,
    clock,
    kind: settings.dialect,
    maxTokensDefault: settings.pools[pool]!.max_tokens_translated,
    send: (request, sink) => send(client, clock, call, request, sink),
  });
}

function send(
  client: ProviderClient,
  clock: Clock,
  { job, jobId, settings, apiKey, signal }: ProviderCall,
  request: Pick<OutgoingCall, 'operation' | 'body' | 'headers'>,
  sink: BodySink | undefined,
): Promise<ProviderResponse> {
  return sendCall(client, clock, {
    call: { ...request, model: job.model, stream: job.stream !== undefined },
    settings,
    apiKey,
    attemptId: `${jobId}/${job.attempt}`,
    signal,
    sink,
  });
}
