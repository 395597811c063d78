import type { SharedV4Warning } from '@ai-sdk/provider';
import { endpointDialect, type ProviderKind, providerDialect } from '#shared/contracts/endpoint.ts';
import { errorBody } from '#shared/contracts/error-body.ts';
import type { BegunJob } from '#shared/jobs/job-store.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import { type TranslatedCall, translateCall } from '#shared/translation/translate-call.ts';
import type { AttemptResult } from '../attempt-result.ts';
import type { BodySink, ProviderResponse } from '../http/provider-client.ts';
import { failureOf, judgeAnswer, parseObject } from '../judge-answer.ts';
import type { ProviderStream } from '../streams/provider-stream.ts';
import type { AnswerHead, Fields } from './answer-writer.ts';
import { writerOf } from './answer-writers.ts';
import { blocksOf } from './blocks.ts';
import { callEmbedding } from './call-embedding.ts';
import { errorAnswer } from './error-answer.ts';
import { nativeOperations } from './native-operations.ts';
import { type NativeRequest, requestOf } from './native-request.ts';
import { type Fetch, openModel } from './provider-models.ts';
import { withoutContinuation } from './without-continuation.ts';

export interface TranslatingCall {
  job: BegunJob;
  jobId: string;
  kind: ProviderKind;
  /** Output tokens asked for when the caller names no maximum and the provider demands one. */
  maxTokensDefault: number;
  /** The way to the provider that every call takes: its address, key, bounds and time limits. Asks once. */
  send: (request: NativeRequest, sink?: BodySink) => Promise<ProviderResponse>;
  stream: ProviderStream | undefined;
  clock: Clock;
}

/**
 * Makes one provider request for a caller of another dialect, and says what came of it as a call of the provider's own
 * dialect would: limits, refusals and usage are read from what the provider sent. The AI SDK's models write the request
 * and read the answer; they send nothing, and ask no second time.
 */
export async function callTranslated(call: TranslatingCall): Promise<AttemptResult> {
  const { job, jobId, kind } = call;
  const asked = JSON.parse(job.body) as Fields;
  let translated: TranslatedCall;
  try {
    if (job.endpoint === '/v1/embeddings') return told(call, await callEmbedding(call, asked));
    translated = translateCall(job.endpoint, asked, providerDialect[kind], call.maxTokensDefault);
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error;
    return neverSent(call, error);
  }
  const head: AnswerHead = {
    id: jobId.replace(/^job_/, ''),
    createdS: Math.floor(job.nowMs / 1_000),
    model: job.model,
    asked,
    showUsage: job.stream === 'as_is',
  };
  const result = call.stream
    ? await callStreamed(call, call.stream, translated, head)
    : await callWhole(call, translated, head);
  return told(call, result);
}

/** The result in the words of the caller. */
const told = (call: TranslatingCall, result: AttemptResult) =>
  result.kind === 'refused' ? inCallersDialect(call, result) : result;

/** What cannot be said to the provider of this pool, although it was accepted for another one. */
function neverSent({ job, jobId }: TranslatingCall, error: SluiceError): AttemptResult {
  const body = Buffer.from(errorBody(endpointDialect[job.endpoint], error, jobId));
  const response = { status: error.entry.status, headers: { 'content-type': 'application/json' }, body };
  return {
    kind: 'refused',
    response,
    class: 'rejected',
    retryable: false,
    countsAsAttempt: true,
    retryAfterMs: undefined,
  };
}

function inCallersDialect(
  { job }: TranslatingCall,
  result: Extract<AttemptResult, { kind: 'refused' }>,
): AttemptResult {
  const { status, headers, body } = result.response;
  const answer = errorAnswer(job.endpoint, status, parseObject(body));
  const response = {
    status,
    headers: { ...headers, 'content-type': 'application/json' },
    body: Buffer.from(JSON.stringify(answer)),
  };
  return { ...result, response };
}

const otherForm = (error: unknown) =>
  `its answer has another form (${error instanceof Error ? error.name : 'unknown'})`;

async function callWhole(
  call: TranslatingCall,
  translated: TranslatedCall,
  head: AnswerHead,
): Promise<AttemptResult> {
  const { job, kind, clock } = call;
  const { options } = translated;
  const operation = nativeOperations[providerDialect[kind]];
  let sent: Promise<ProviderResponse> | undefined;
  const fetch: Fetch = async (_url, init) => {
    if (sent) throw new Error('one attempt is one request');
    sent = call.send(requestOf(operation, options, init));
    const { status, body } = await sent;
    if (status < 200 || status > 299) throw new Error('refused');
    return new Response(new Uint8Array(withoutContinuation(body)), {
      headers: { 'content-type': 'application/json' },
    });
  };
  const answer = await openModel(kind, job.model, fetch)
    .then((model) => model.doGenerate(options))
    .catch((error: unknown) => ({ error }));
  if (!sent) return neverSent(call, notSaid((answer as { error: unknown }).error));
  try {
    const response = await sent;
    const result = judgeAnswer(response, operation, clock.nowMs());
    if (result.kind !== 'answered') return result;
    if ('error' in answer)
      return { kind: 'invalid', reason: otherForm(answer.error), code: 'provider_invalid_response' };
    const { content, finishReason: reason, usage } = answer;
    const model = answer.response?.modelId ?? head.model;
    const body = writerOf(job.endpoint).whole({ ...head, model }, blocksOf(content), { reason, usage });
    const headers = { ...response.headers, ...droppedHeader(translated, answer.warnings) };
    return { ...result, response: { ...response, headers, body: Buffer.from(JSON.stringify(body)) } };
  } catch (error) {
    return failureOf(error);
  }
}

/** What was left out: because the dialect has no word for it, or because this one model takes none. */
function droppedHeader(
  { dropped, names }: TranslatedCall,
  warnings: SharedV4Warning[],
): Record<string, string> {
  const refused = warnings.flatMap((warning) =>
    warning.type === 'unsupported' ? (names[warning.feature as keyof typeof names] ?? []) : [],
  );
  const all = [...new Set([...dropped, ...refused])].toSorted();
  return all.length === 0 ? {} : { 'x-sluice-dropped-params': all.join(', ') };
}

/** What only the SDK found out. Its sentences name the thing, and hold nothing of a prompt. */
function notSaid(error: unknown): SluiceError {
  const reason = error instanceof Error ? error.message : 'it cannot be translated';
  return new SluiceError('not_translatable', { fields: { param: 'The body', reason } });
}

async function callStreamed(
  call: TranslatingCall,
  stream: ProviderStream,
  { options }: TranslatedCall,
  head: AnswerHead,
): Promise<AttemptResult> {
  const { job, kind, clock } = call;
  const operation = nativeOperations[providerDialect[kind]];
  const translation = stream.translation!;
  let sent: Promise<ProviderResponse> | undefined;
  const fetch: Fetch = async (_url, init) => {
    if (sent) throw new Error('one attempt is one request');
    sent = call
      .send(requestOf(operation, options, init), stream)
      .then((response) => {
        stream.readRest();
        return response;
      })
      .finally(() => translation.close());
    await Promise.race([translation.opened, sent]);
    if (!stream.took) throw new Error('refused');
    return new Response(translation.readable, { headers: { 'content-type': 'text/event-stream' } });
  };
  try {
    const model = await openModel(kind, job.model, fetch);
    const { stream: parts } = await model.doStream(options);
    await translation.write(parts, writerOf(job.endpoint), head);
  } catch (error) {
    translation.failed ??= otherForm(error);
    if (!sent) return neverSent(call, notSaid(error));
  }
  try {
    const response = await sent!;
    if (stream.took) return stream.ended(clock.nowMs());
    const result = judgeAnswer(response, operation, clock.nowMs());
    return result.kind === 'answered'
      ? { kind: 'invalid', reason: 'not a stream', code: 'provider_invalid_response' }
      : result;
  } catch (error) {
    const failure = failureOf(error);
    return stream.broken(failure) ?? failure;
  }
}
