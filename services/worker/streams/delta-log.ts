import type { Settings } from '#config/schema.ts';
import type { Progress } from '#shared/contracts/outcome.ts';
import type { Clock, Timer } from '#shared/kernel/clock.ts';
import type { EventLog } from '#shared/results/event-log.ts';

export interface DeltaLogParts {
  log: EventLog;
  /** Tells ingresses how far a job is; never rejects. */
  tell: (followers: readonly string[], progress: Progress, bytes?: Buffer) => void;
  settings: Settings['streams'];
  clock: Clock;
  onError: (error: unknown) => void;
}

export interface DeltaLogTarget {
  tenant: string;
  jobId: string;
  /** Token of the attempt, and its number. */
  token: string;
  epoch: number;
  followers: readonly string[];
}

const pauseAfterErrorMs = 250;

/**
 * Writes what one attempt streams into the event log of its job: the first chunk at once, then everything that came
 * since, at most once per `flush_ms` and one write at a time. Whoever follows the job is told in the same write. Nothing
 * here holds the provider back: what Redis does not take now is written later, and the end of the job stores the whole
 * answer anyway.
 */
export class DeltaLog {
  readonly #parts: DeltaLogParts;
  readonly #target: DeltaLogTarget;
  #followers: readonly string[];
  #waiting: Buffer[] = [];
  #bytes = 0;
  #writing = false;
  #closed = false;
  #timer: Timer | undefined;

  constructor(parts: DeltaLogParts, target: DeltaLogTarget) {
    this.#parts = parts;
    this.#target = target;
    this.#followers = target.followers;
  }

  push(bytes: Buffer): void {
    if (this.#closed) return;
    this.#waiting.push(bytes);
    if (!this.#writing && !this.#timer) void this.#write();
  }

  /** Stops writing: the end of the job stores what is left. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#waiting = [];
  }

  async #write(): Promise<void> {
    const { log, settings, clock, onError } = this.#parts;
    const { tenant, jobId, token, epoch } = this.#target;
    this.#timer = undefined;
    const bytes = this.#nextEntry();
    if (bytes.length === 0) return;
    this.#writing = true;
    const place = { epoch, bytes: this.#bytes + bytes.length };
    let pauseMs = settings.flush_ms;
    try {
      const told = this.#followers;
      const written = log.append(tenant, jobId, token, { place, bytes });
      this.#tell(told, bytes);
      const followers = await written;
      if (followers === 'lost') return this.close();
      this.#bytes = place.bytes;
      this.#followers = followers;
      // Whoever came meanwhile has missed this entry and looks for it.
      this.#tell(
        followers.filter((follower) => !told.includes(follower)),
        undefined,
      );
    } catch (error) {
      this.#waiting.unshift(bytes);
      pauseMs = pauseAfterErrorMs;
      onError(error);
    } finally {
      this.#writing = false;
    }
    if (!this.#closed) this.#timer = clock.after(pauseMs, () => void this.#write());
  }

  #nextEntry(): Buffer {
    const max = this.#parts.settings.entry_max_bytes;
    let count = 0;
    for (let size = 0; count < this.#waiting.length; count++) {
      size += this.#waiting[count]!.length;
      if (size > max && count > 0) break;
    }
    return Buffer.concat(this.#waiting.splice(0, count));
  }

  #tell(followers: readonly string[], bytes: Buffer | undefined): void {
    if (followers.length === 0) return;
    const progress = { job: this.#target.jobId, epoch: this.#target.epoch, from: this.#bytes };
    this.#parts.tell(followers, progress, bytes);
  }
}
