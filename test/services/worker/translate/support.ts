import type { Dialect, Endpoint } from '#shared/contracts/endpoint.ts';
import type { BegunJob } from '#shared/jobs/job-store.ts';
import { systemClock } from '#shared/kernel/clock.ts';
import type { AttemptResult } from '../../../../services/worker/attempt-result.ts';
import type { BodySink, ProviderResponse } from '../../../../services/worker/http/provider-client.ts';
import { wireOf } from '../../../../services/worker/providers/adapters.ts';
import { ProviderStream } from '../../../../services/worker/streams/provider-stream.ts';
import { StreamRelay } from '../../../../services/worker/streams/stream-relay.ts';
import { callTranslated } from '../../../../services/worker/translate/call-translated.ts';
import { nativeOperations } from '../../../../services/worker/translate/native-operations.ts';
import type { NativeRequest } from '../../../../services/worker/translate/native-request.ts';
import { StreamTranslation } from '../../../../services/worker/translate/stream-translation.ts';

export type Fields = Record<string, unknown>;

export interface Scene {
  endpoint: Endpoint;
  dialect: Dialect;
  body: Fields;
  model?: string;
  /** What the provider answers, whole. */
  answer?: unknown;
  status?: number;
  headers?: Record<string, string>;
  /** What the provider streams: whole events. */
  events?: readonly string[];
  /** What breaks the stream after the events. */
  broken?: Error;
}

export interface Seen {
  /** Requests as the provider was sent them. */
  requests: (Omit<NativeRequest, 'body'> & { body: Fields })[];
  result: AttemptResult;
  /** The answer as the caller was given it. */
  text: string;
  /** Pieces of a stream, as they came out. */
  pieces: string[];
}

const eventStream = { 'content-type': 'text/event-stream' };

/** One translated call beside a provider that is not there. */
export async function translated(scene: Scene): Promise<Seen> {
  const { dialect, events } = scene;
  const requests: Seen['requests'] = [];
  const pieces: string[] = [];
  const send = async (request: NativeRequest, sink?: BodySink): Promise<ProviderResponse> => {
    requests.push({ ...request, body: JSON.parse(request.body) as Fields });
    const status = scene.status ?? 200;
    if (events && sink?.wants(status, { ...eventStream, ...scene.headers })) {
      for (const event of events) if (sink.push(Buffer.from(event))) break;
      if (scene.broken) throw scene.broken;
      return { status, headers: eventStream, body: Buffer.alloc(0) };
    }
    const headers = { 'content-type': 'application/json', ...scene.headers };
    return { status, headers, body: Buffer.from(JSON.stringify(scene.answer)) };
  };
  const stream = events ? streamOf(scene, (bytes) => pieces.push(bytes.toString())) : undefined;
  const result = await callTranslated({
    job: jobOf(scene),
    jobId: 'job_0123456789',
    kind: dialect,
    maxTokensDefault: 8_192,
    send,
    stream,
    clock: systemClock,
  });
  const text = 'response' in result ? result.response.body.toString() : '';
  return { requests, result, text, pieces };
}

function jobOf({ endpoint, body, model = 'gpt-x', events }: Scene): BegunJob {
  const options = body.stream_options as Fields | undefined;
  const hidden = options?.include_usage !== true && /chat|\/completions/.test(endpoint);
  return {
    attempt: 1,
    nowMs: 1_700_000_000_000,
    endpoint,
    model,
    body: JSON.stringify({ model, ...body }),
    headers: { 'openai-beta': 'never-passed-on' },
    stream: events ? (hidden ? 'usage_hidden' : 'as_is') : undefined,
  } as Partial<BegunJob> as BegunJob;
}

function streamOf({ endpoint, dialect }: Scene, emit: (bytes: Buffer) => void): ProviderStream {
  const operation = nativeOperations[dialect];
  const translation = new StreamTranslation(emit, dialect);
  const eventMaxBytes = 1_000_000;
  const relay = new StreamRelay({
    reader: wireOf(operation).streamReader(operation),
    hideUsage: false,
    eventMaxBytes,
    eventsMax: 10_000,
    emit: (bytes) => translation.take(bytes),
  });
  const jobId = 'job_0123456789';
  return new ProviderStream({
    endpoint,
    operation,
    jobId,
    relay,
    translation,
    estimatedInput: 7,
    eventMaxBytes,
  });
}

/** Server-sent events of JSON values. */
export const sse = (...values: Fields[]): string[] =>
  values.map(
    (value) =>
      `${typeof value.type === 'string' ? `event: ${value.type}\n` : ''}data: ${JSON.stringify(value)}\n\n`,
  );

/** The data of a text of server-sent events. */
export const dataOf = (text: string): Fields[] =>
  [...text.matchAll(/^data: (\{.*)$/gm)].map(([, data]) => JSON.parse(data!) as Fields);
