import type { BatchStore } from '#shared/batches/batch-store.ts';
import { jobsSince, knownJobs } from '#shared/jobs/job-list.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import { lineJobId } from '../batches/line-jobs.ts';
import type { NewJobs } from './new-jobs.ts';

/** A job that was found, and what its events say beside it. */
export interface FoundJob {
  id: string;
  about: Record<string, unknown>;
}

/** Jobs that come one after another, for whoever follows all of them. Pulled: nothing piles up here. */
export interface JobSource {
  /** The next ones, at most `max`; `over` says how it ended when there will be no more. */
  next(max: number): Promise<{ jobs: FoundJob[]; over?: Record<string, unknown> }>;
  /** Resolves when it is worth asking again. */
  changed(signal: AbortSignal): Promise<void>;
  close(): void;
}

/** All jobs of a tenant in the order in which they were accepted, from a moment on. */
export class TenantJobs implements JobSource {
  readonly #redis: RedisConnection;
  readonly #newJobs: NewJobs;
  readonly #tenant: string;
  readonly close: () => void;
  #fromMs: number;
  /** What was given out of that moment. */
  #seen: Set<string>;

  constructor(
    { redis, newJobs }: { redis: RedisConnection; newJobs: NewJobs },
    tenant: string,
    fromMs: number,
    seen: readonly string[],
  ) {
    this.#redis = redis;
    this.#newJobs = newJobs;
    this.#tenant = tenant;
    this.#fromMs = fromMs;
    this.#seen = new Set(seen);
    this.close = newJobs.enter(tenant);
  }

  async next(max: number): Promise<{ jobs: FoundJob[] }> {
    const { jobs } = await jobsSince(this.#redis, this.#tenant, this.#fromMs, this.#seen.size + max);
    const found = jobs.filter(({ id }) => !this.#seen.has(id)).slice(0, max);
    const lastMs = found.at(-1)?.createdMs ?? this.#fromMs;
    if (lastMs > this.#fromMs) this.#seen = new Set();
    this.#fromMs = lastMs;
    for (const { id, createdMs } of found) if (createdMs === lastMs) this.#seen.add(id);
    return { jobs: found.map(({ id }) => ({ id, about: {} })) };
  }

  changed(signal: AbortSignal): Promise<void> {
    return this.#newJobs.news(this.#tenant, signal);
  }
}

export interface BatchLinesParts {
  redis: RedisConnection;
  batches: BatchStore;
  clock: Clock;
  everyMs: number;
  /** Lines of a batch that may be under way at once. */
  linesOpenMax: number;
}

/** Jobs looked for in one step. */
const lookedForTogether = 500;

/**
 * The jobs of the lines of a batch, from a line on. Their ids follow from batch and line; those that may exist are looked
 * for: up to the last line that can be open. A line before the cursor of the batch that has none will never have one.
 */
export class BatchLines implements JobSource {
  readonly #parts: BatchLinesParts;
  readonly #tenant: string;
  readonly #batchId: string;
  readonly #found = new Set<number>();
  /** All lines up to this one are dealt with. */
  #after: number;
  #last = 0;

  constructor(parts: BatchLinesParts, tenant: string, batchId: string, after: number) {
    this.#parts = parts;
    this.#tenant = tenant;
    this.#batchId = batchId;
    this.#after = after;
  }

  async next(max: number): Promise<{ jobs: FoundJob[]; over?: Record<string, unknown> }> {
    const { redis, batches, linesOpenMax } = this.#parts;
    const batch = await batches.view(this.#tenant, this.#batchId);
    if (!batch)
      throw new SluiceError('batch_not_found', { fields: { batch: this.#batchId }, param: 'batch' });
    const { status, atMs, counts, cursor } = batch;
    const ended = (atMs.completed ?? atMs.failed ?? atMs.expired ?? atMs.cancelled) !== undefined;
    this.#last = Math.max(this.#last, ended ? counts.total : cursor.line + linesOpenMax);
    const looked: number[] = [];
    for (let line = this.#after + 1; line <= this.#last && looked.length < lookedForTogether; line++)
      if (!this.#found.has(line)) looked.push(line);
    const ids = looked.map((line) => lineJobId(this.#batchId, line));
    const known = await knownJobs(redis, this.#tenant, ids);
    const jobs: FoundJob[] = [];
    let over = ended && (looked.at(-1) ?? this.#last) >= this.#last;
    for (const [index, line] of looked.entries()) {
      const id = ids[index]!;
      if (known.has(id) && jobs.length === max) {
        over = false;
        break;
      }
      if (known.has(id)) jobs.push({ id, about: { batch: this.#batchId, line } });
      if (known.has(id) || ended || line <= cursor.line) this.#found.add(line);
    }
    while (this.#found.delete(this.#after + 1)) this.#after++;
    return over ? { jobs, over: { batch: this.#batchId, status } } : { jobs };
  }

  async changed(signal: AbortSignal): Promise<void> {
    await this.#parts.clock.sleep(this.#parts.everyMs, signal);
  }

  close(): void {
    this.#found.clear();
  }
}
