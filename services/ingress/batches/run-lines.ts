import type { BatchRecord } from '#shared/batches/batch-record.ts';
import { type FileLine, isBlank, splitLines } from '#shared/batches/split-lines.ts';
import type { Outcome } from '#shared/contracts/outcome.ts';
import { endingOf } from '#shared/jobs/ended-jobs.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { Awaited } from '#shared/results/await-outcome.ts';
import { acceptNamedJob } from '../accept-job.ts';
import { cancelWaiting } from '../cancel-job.ts';
import type { BatchLease } from './batch-lease.ts';
import type { DriveParts } from './drive-parts.ts';
import { lineJobId, unreadBody } from './line-jobs.ts';
import { unrunMessages } from './line-result.ts';
import { type OpenLine, OpenLines } from './open-lines.ts';
import { Places } from './places.ts';
import { LineMistake, type LineRequest, type LineRules, readLine } from './read-line.ts';

/** Accepts under way at once: more would wait for each other past the command time-out. */
const acceptsAtOnce = 32;
const acceptPauseMs = 1_000;
/** A quota may be full for days; the batch may be cancelled or expire meanwhile. */
const acceptPauseMaxMs = 10_000;
const isDone = (done: Buffer, line: number) => ((done[line >> 3] ?? 0) & (0x80 >> (line & 7))) !== 0;

/** Reads the input of one batch and runs its lines as jobs, a bounded number at a time. */
export class LineRunner {
  readonly open: OpenLines;
  readonly #parts: DriveParts;
  readonly #lease: BatchLease;
  readonly #batch: BatchRecord;
  readonly #rules: LineRules;
  readonly #accepting = new Places(acceptsAtOnce);
  readonly #waits = new Set<() => void>();
  /** What no line could be run for. */
  failure: unknown;
  /** Lines that whoever drove the batch before may have submitted; none after them was. */
  #suspects: number;

  constructor(parts: DriveParts, lease: BatchLease, batch: BatchRecord, rules: LineRules, resumed: boolean) {
    const { batches } = parts.settings;
    this.#parts = parts;
    this.#lease = lease;
    this.#batch = batch;
    this.#rules = rules;
    this.#suspects = resumed ? batches.lines_open_per_batch_max : 0;
    const limits = {
      lines: batches.lines_open_per_batch_max,
      bytes: batches.bytes_open_per_batch_max,
      readyLines: batches.append_lines,
      readyBytes: batches.append_bytes,
    };
    this.open = new OpenLines(limits, batch.cursor, lease.lost);
    lease.lost.addEventListener('abort', () => this.#giveUp(), { once: true });
  }

  #giveUp(): void {
    for (const giveUp of this.#waits) giveUp();
  }

  /** Reads on from the cursor, as far and as fast as there is room. */
  async read(done: Buffer): Promise<void> {
    const { cursor } = this.#batch;
    const chunks = await this.#parts.readInput(this.#batch, cursor.offset);
    for await (const line of splitLines(chunks, this.#rules.maxBytes, cursor)) {
      if (!isDone(done, line.number) && !isBlank(line)) await this.#take(line);
      if (this.#lease.lost.aborted) return;
      this.open.readTo({ line: line.number, offset: line.nextOffset });
    }
    this.open.allRead();
  }

  async #take(line: FileLine): Promise<void> {
    while (!this.open.hasRoom && !this.#lease.lost.aborted) await this.open.changed;
    if (this.#lease.lost.aborted) return;
    const read = this.#readLine(line);
    const opened: OpenLine = {
      number: line.number,
      offset: line.offset,
      bytes: line.nextOffset - line.offset,
      customId: read instanceof LineMistake ? '' : read.customId,
      jobId: lineJobId(this.#batch.id, line.number),
      running: false,
      result: undefined,
    };
    this.open.add(opened);
    if (read instanceof LineMistake) {
      const { code, message } = read;
      return this.open.finish(opened, { kind: 'error', code, message });
    }
    const suspect = this.#suspects-- > 0;
    if (!suspect && this.#finishUnrun(opened)) return;
    // A batch that winds up needs no place: its lines only end.
    const placed = await this.#parts.places.take(this.#lease.winding);
    if (!placed && !suspect && this.#finishUnrun(opened)) return;
    await this.#accepting.take(this.#lease.lost);
    // The body goes no further than the accept: whoever waits for the end must not hold it.
    this.#run(opened, this.#accept(opened, read, suspect))
      .catch((error: unknown) => this.#fail(error))
      .finally(() => placed && this.#parts.places.give());
  }

  /** Something unforeseen: the batch is given back, and tried again from where it stands. */
  #fail(error: unknown): void {
    this.failure ??= error;
    this.#lease.end();
  }

  /** Validation found nothing wrong, but the configuration may have changed since. */
  #readLine(line: FileLine): LineRequest | LineMistake {
    try {
      return readLine(line.bytes, this.#rules);
    } catch (error) {
      if (error instanceof LineMistake) return error;
      throw error;
    }
  }

  #finishUnrun(line: OpenLine): boolean {
    const { unrun } = this.#lease;
    if (unrun) this.open.finish(line, { kind: 'error', code: unrun, message: unrunMessages[unrun] });
    return unrun !== undefined;
  }

  async #run(line: OpenLine, accepting: Promise<Awaited | undefined>): Promise<void> {
    try {
      const awaited = await accepting.finally(() => this.#accepting.give());
      const outcome = awaited && (await this.#outcomeOf(awaited));
      if (outcome) this.#finish(line, outcome);
    } finally {
      this.#parts.accepted.delete(line.jobId);
    }
  }

  #finish(line: OpenLine, { head, body }: Outcome): void {
    // Answers wait in memory only while they are few; the others are read again when they are written.
    const keep = body !== unreadBody && this.open.readyBytes < 2 * this.#parts.settings.batches.append_bytes;
    this.open.finish(line, { kind: 'job', head, body: keep ? body : undefined });
  }

  /** Undefined when this process stops waiting first. */
  async #outcomeOf(awaited: Awaited): Promise<Outcome | undefined> {
    const over = Promise.withResolvers<Outcome | undefined>();
    const giveUp = () => {
      awaited.cancel();
      over.resolve(undefined);
    };
    this.#waits.add(giveUp);
    if (this.#lease.lost.aborted) giveUp();
    awaited.outcome.then(over.resolve, () => over.resolve(undefined));
    try {
      return await over.promise;
    } finally {
      this.#waits.delete(giveUp);
    }
  }

  /** Submits the line until it is accepted; undefined when it ended without a job. */
  async #accept(line: OpenLine, { request }: LineRequest, suspect: boolean): Promise<Awaited | undefined> {
    const { waiter, waiterId, accepted, clock } = this.#parts;
    const { tenant } = this.#batch;
    let mayExist = suspect;
    while (!this.#lease.lost.aborted) {
      const awaited = waiter.expect(tenant, line.jobId);
      try {
        if (this.#lease.unrun && !(mayExist && (await endingOf(this.#parts.redis, tenant, line.jobId)))) {
          awaited.cancel();
          this.#finishUnrun(line);
          return undefined;
        }
        if (!this.#lease.unrun)
          await acceptNamedJob(this.#parts, this.#submissionOf(request), line.jobId, waiterId);
        accepted.add(line.jobId);
        line.running = true;
        if (mayExist) await this.#join(line.jobId);
        return awaited;
      } catch (error) {
        awaited.cancel();
        if (!(error instanceof SluiceError)) throw error;
        // This process does not know the tenant any more, or not yet: others may.
        if (error.code === 'invalid_key') throw error;
        if (!error.entry.retryable) {
          this.open.finish(line, { kind: 'error', code: error.code, message: error.message });
          return undefined;
        }
        mayExist ||= error.code === 'store_unavailable';
        const pauseMs = Math.min(error.retryAfterMs ?? acceptPauseMs, acceptPauseMaxMs);
        await clock.sleep(pauseMs, this.#lease.lost);
      }
    }
    return undefined;
  }

  /** The job may have been made before, and may have ended: then nobody will announce it to us. */
  async #join(jobId: string): Promise<void> {
    const { jobs, waiter, waiterId } = this.#parts;
    await jobs.join(this.#batch.tenant, jobId, waiterId, false);
    await waiter.readNow(this.#batch.tenant, jobId);
  }

  #submissionOf(request: LineRequest['request']) {
    const leftMs = this.#batch.atMs.expires! - this.#lease.nowMs();
    return {
      tenant: this.#batch.tenant,
      request,
      idempotencyKey: undefined,
      deadlineSeconds: Math.max(1, Math.ceil(leftMs / 1_000)),
      runAtMs: undefined,
    };
  }

  /** Once the batch winds up: lines that no worker runs end here, the others when their worker is done. */
  async windUp(over: AbortSignal): Promise<void> {
    const { clock, settings } = this.#parts;
    while (!over.aborted && !this.#lease.lost.aborted) {
      if (this.#lease.unrun) {
        const running = this.open.running();
        for (let from = 0; from < running.length && !over.aborted; from += acceptsAtOnce)
          await Promise.all(running.slice(from, from + acceptsAtOnce).map((line) => this.#cancel(line)));
      }
      await clock.sleep(settings.batches.beat_ms, over);
    }
  }

  async #cancel({ jobId }: OpenLine): Promise<void> {
    try {
      await cancelWaiting(this.#parts, this.#batch.tenant, jobId);
    } catch (error) {
      if (!(error instanceof SluiceError)) throw error;
    }
  }
}
