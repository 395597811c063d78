import type { Settings } from '#config/schema.ts';
import type { CacheStore, FoundAnswer } from '#shared/cache/cache-store.ts';
import { requestDigest } from '#shared/cache/canonical-request.ts';
import { type LastQuestion, lastQuestion } from '#shared/cache/last-question.ts';
import type { QuestionGroup, VectorIndex } from '#shared/cache/question-group.ts';
import { bytesOf } from '#shared/cache/vectors.ts';
import type { CacheOrder } from '#shared/contracts/cache.ts';
import type { JobRequest } from '#shared/contracts/job.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import { describeError } from '#shared/kernel/errors.ts';
import type { Logger } from '#shared/telemetry/logger.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';
import type { CachePlan } from './cache-plan.ts';

/** Whose question is embedded, and where its vector is kept for others who ask the same. */
export interface Asker {
  tenant: string;
  axes: JobRequest['axes'];
  namespace: string;
}

/** The direction in which a text lies; undefined when the model does not say. Throws what goes wrong. */
export type EmbedText = (
  asker: Asker,
  text: string,
  signal: AbortSignal,
) => Promise<Float32Array | undefined>;

export interface SemanticLookParts {
  settings: Settings['cache'];
  store: CacheStore;
  vectors: VectorIndex;
  embed: EmbedText;
  metrics: Metrics;
  clock: Clock;
  log: Logger;
}

export interface SemanticFound {
  /** Where the answer of this call will be found by its meaning. */
  semantic?: NonNullable<CacheOrder['semantic']>;
  found?: FoundAnswer & { similarity: number };
}

/** Questions near enough whose answers are looked for. */
const neighboursMax = 3;
const nothing: SemanticFound = {};

/**
 * Looks for an answer to a question that means the same. Only the last message of a user may differ: everything else
 * (system prompt, tools, parameters, the conversation before) is the group in which is searched. Takes `timeout_ms` at
 * the most; whatever goes wrong makes the call a miss.
 */
export class SemanticLook {
  readonly #parts: SemanticLookParts;

  constructor(parts: SemanticLookParts) {
    this.#parts = parts;
  }

  async look(
    tenant: string,
    request: JobRequest,
    fields: Record<string, unknown>,
    plan: CachePlan,
  ): Promise<SemanticFound> {
    const { settings, clock, metrics, log } = this.#parts;
    const question = lastQuestion(request.endpoint, fields);
    if (!question || question.text.length > settings.semantic.text_max_chars) return nothing;
    const late = new AbortController();
    const over = Promise.withResolvers<SemanticFound>();
    const timer = clock.after(settings.semantic.timeout_ms, () => {
      late.abort();
      metrics.semanticFailures.inc({ result: 'timeout' });
      over.resolve(nothing);
    });
    const looked = this.#search(tenant, request, question, plan, late.signal).catch((error: unknown) => {
      metrics.semanticFailures.inc({ result: 'failed' });
      log.warn({ reason: describeError(error) }, 'a question could not be compared');
      return nothing;
    });
    try {
      return await Promise.race([looked, over.promise]);
    } finally {
      timer.cancel();
    }
  }

  async #search(
    tenant: string,
    request: JobRequest,
    { text, rest }: LastQuestion,
    { namespace, threshold, lookup }: CachePlan,
    signal: AbortSignal,
  ): Promise<SemanticFound> {
    const { settings, embed, vectors, store } = this.#parts;
    const vector = await embed({ tenant, axes: request.axes, namespace }, text, signal);
    if (!vector || signal.aborted) return nothing;
    // Vectors of different models cannot be compared.
    const { model, dimensions } = settings.semantic;
    const digest = requestDigest(request, rest, 'question', String(model), String(dimensions));
    const group: QuestionGroup = { tenant, namespace, group: digest };
    const semantic = { group: digest, vector: bytesOf(vector).toString('base64') };
    if (!lookup) return { semantic };
    for (const { key, cosine } of await vectors.nearest(group, vector, neighboursMax)) {
      if (cosine < threshold) break;
      const found = await store.find({ tenant, namespace, key });
      if (found) return { semantic, found: { ...found, similarity: Math.round(cosine * 1e4) / 1e4 } };
      await vectors.drop(group, [key]);
    }
    return { semantic };
  }
}
