import type { BegunJob } from '#shared/jobs/job-store.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import { embeddingOperation, translateEmbedding } from '#shared/translation/translate-embedding.ts';
import type { AttemptResult } from '../attempt-result.ts';
import type { ProviderResponse } from '../http/provider-client.ts';
import { failureOf, judgeAnswer, parseObject } from '../judge-answer.ts';
import type { Fields } from './answer-writer.ts';
import type { NativeRequest } from './native-request.ts';

interface EmbeddingCall {
  job: Pick<BegunJob, 'model'>;
  send: (request: NativeRequest) => Promise<ProviderResponse>;
  clock: Clock;
}

/**
 * OpenAI's embeddings from a provider that speaks Gemini.
 *
 * @throws SluiceError not_translatable
 */
export async function callEmbedding(call: EmbeddingCall, asked: Fields): Promise<AttemptResult> {
  const { job, clock, send } = call;
  const { body, dropped } = translateEmbedding(asked, job.model);
  try {
    const request = { operation: embeddingOperation, body: JSON.stringify(body), headers: {} };
    const response = await send(request);
    const result = judgeAnswer(response, embeddingOperation, clock.nowMs());
    if (result.kind !== 'answered') return result;
    const vectors = vectorsOf(parseObject(response.body)!);
    if (!vectors) return { kind: 'invalid', reason: 'no vectors', code: 'provider_invalid_response' };
    const tokens = result.usage?.inputTokens ?? 0;
    const answer = {
      object: 'list',
      data: vectors.map((vector, index) => ({
        object: 'embedding',
        index,
        embedding: asked.encoding_format === 'base64' ? base64Of(vector) : vector,
      })),
      model: job.model,
      usage: { prompt_tokens: tokens, total_tokens: tokens },
    };
    const headers = { ...response.headers };
    if (dropped.length > 0) headers['x-sluice-dropped-params'] = dropped.join(', ');
    return { ...result, response: { ...response, headers, body: Buffer.from(JSON.stringify(answer)) } };
  } catch (error) {
    return failureOf(error);
  }
}

function vectorsOf({ embeddings }: Fields): number[][] | undefined {
  const vectors = (embeddings as { values?: unknown }[]).map((each) => each?.values);
  return vectors.every((vector) => Array.isArray(vector)) ? (vectors as number[][]) : undefined;
}

const base64Of = (vector: readonly number[]) =>
  Buffer.from(Float32Array.from(vector).buffer).toString('base64');
