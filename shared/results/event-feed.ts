import { beforeEverything, type EventPlace, isAfter, type JobEvent } from '#shared/contracts/job-events.ts';
import type { Announcement, Outcome } from '#shared/contracts/outcome.ts';
import type { Clock, Timer } from '#shared/kernel/clock.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import { endedEvents, type JobProgress, runningEvents } from './derive-events.ts';
import type { EventLog } from './event-log.ts';

export interface EventFeedOptions {
  clock: Clock;
  log: EventLog;
  /** A reader that hears nothing looks into the store this often unless it says otherwise, milliseconds. */
  rereadMs: number;
  /** How far a job is; undefined when it is gone. */
  readProgress: (tenant: string, jobId: string) => Promise<(JobProgress & { ended: boolean }) | undefined>;
  readOutcome: (tenant: string, jobId: string) => Promise<Outcome | undefined>;
}

/** Something that was heard of a job: what was said, or only that the store knows more. */
type News = Announcement | 'look' | 'closed' | SluiceError;

const isLast = (news: News | undefined) => news === 'closed' || news instanceof SluiceError;

class Follower {
  readonly tenant: string;
  readonly jobId: string;
  readonly rereadMs: number;
  nextLookMs: number;
  #news: News | undefined;
  #wake: ((news: News) => void) | undefined;

  constructor(tenant: string, jobId: string, rereadMs: number, nowMs: number) {
    this.tenant = tenant;
    this.jobId = jobId;
    this.rereadMs = rereadMs;
    this.nextLookMs = nowMs + rereadMs;
  }

  /** A reader that is behind keeps no backlog here: it will find everything in the store. */
  tell(news: News): void {
    const wake = this.#wake;
    this.#wake = undefined;
    if (wake) wake(news);
    else if (!isLast(this.#news)) this.#news = this.#news === undefined || isLast(news) ? news : 'look';
  }

  next(): Promise<News> {
    const news = this.#news;
    this.#news = undefined;
    if (news) {
      if (isLast(news)) this.#news = news;
      return Promise.resolve(news);
    }
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}

/** One reader's place among the followers of a job. `close` must be called when it no longer reads; its events end then. */
export interface Subscription {
  /**
   * The events after a place, as they come, up to the one that ends the job. Pulled: whoever reads slowly is served from
   * the store, and nothing piles up. `fresh`: the job was accepted just now, so there is nothing to look for yet.
   *
   * @throws SluiceError job_not_found, or shutting_down when this process stops
   */
  events(after?: EventPlace, fresh?: boolean): AsyncGenerator<JobEvent, void, undefined>;
  close(): void;
}

/**
 * The events of jobs for the readers of one ingress process. Progress arrives in the ingress' inbox and is used as it
 * is when it continues what a reader has; anything else makes the reader look into the store, as it does by itself
 * every `rereadMs`, so that a lost message costs at most that.
 */
export class EventFeed implements Service {
  readonly name = 'event feed';
  readonly #options: EventFeedOptions;
  readonly #followers = new Map<string, Set<Follower>>();
  #size = 0;
  #timer: Timer | undefined;

  constructor(options: EventFeedOptions) {
    this.#options = options;
  }

  /** Readers at present. */
  get size(): number {
    return this.#size;
  }

  async start(): Promise<void> {
    const { clock, rereadMs } = this.#options;
    this.#timer = clock.every(Math.max(20, Math.floor(rereadMs / 4)), () => this.#lookOverdue());
  }

  async stop(): Promise<void> {
    this.#timer?.cancel();
    this.releaseAll();
  }

  /** Ends every reader because this server is stopping; the jobs go on. */
  releaseAll(): void {
    for (const [jobId, followers] of this.#followers) {
      const error = new SluiceError('shutting_down', { fields: { job: jobId }, retryAfterMs: 1_000 });
      for (const follower of followers) follower.tell(error);
    }
  }

  /** Whether anybody here follows the job. */
  isFollowed(jobId: string): boolean {
    return this.#followers.has(jobId);
  }

  /** Registers a reader. Do it before the job begins, or read without `fresh`. */
  follow(tenant: string, jobId: string, rereadMs = this.#options.rereadMs): Subscription {
    const follower = new Follower(tenant, jobId, rereadMs, this.#options.clock.monotonicMs());
    const others = this.#followers.get(jobId);
    if (others) others.add(follower);
    else this.#followers.set(jobId, new Set([follower]));
    this.#size++;
    return {
      events: (after = beforeEverything, fresh = false) => this.#events(follower, after, fresh),
      close: () => this.#leave(follower),
    };
  }

  /** Takes what the inbox received. */
  receive(announcement: Announcement): void {
    for (const follower of this.#followers.get(announcement.head.job) ?? []) {
      follower.nextLookMs = this.#options.clock.monotonicMs() + follower.rereadMs;
      follower.tell(announcement);
    }
  }

  #leave(follower: Follower): void {
    const set = this.#followers.get(follower.jobId);
    if (!set?.delete(follower)) return;
    if (set.size === 0) this.#followers.delete(follower.jobId);
    this.#size--;
    follower.tell('closed');
  }

  #lookOverdue(): void {
    const now = this.#options.clock.monotonicMs();
    for (const followers of this.#followers.values()) {
      for (const follower of followers) {
        if (follower.nextLookMs > now) continue;
        follower.nextLookMs = now + follower.rereadMs;
        follower.tell('look');
      }
    }
  }

  async *#events(
    follower: Follower,
    after: EventPlace,
    fresh: boolean,
  ): AsyncGenerator<JobEvent, void, undefined> {
    let place = after;
    let look = !fresh;
    let first = look;
    for (;;) {
      const news = look ? 'look' : await follower.next();
      if (news instanceof SluiceError) throw news;
      if (news === 'closed') return;
      const known = news === 'look' ? undefined : eventsTold(news, place);
      const { events, next }: Looked = known
        ? { events: known, next: 'wait' }
        : await this.#look(follower, place).catch((error: unknown) => waitForStore(error, first));
      first = false;
      for (const event of events) {
        if (!isAfter(event.place, place)) continue;
        place = event.place;
        yield event;
        if (event.type === 'ended') return;
      }
      if (next === 'end') return;
      look = next === 'look';
    }
  }

  /** What the store holds after a place, and what to do then. The record and the log are asked in one write. */
  async #look(follower: Follower, after: EventPlace): Promise<Looked> {
    const { tenant, jobId } = follower;
    const { clock, log, readProgress, readOutcome } = this.#options;
    follower.nextLookMs = clock.monotonicMs() + follower.rereadMs;
    const [progress, { entries, more }] = await Promise.all([
      readProgress(tenant, jobId),
      log.read(tenant, jobId, after),
    ]);
    if (!progress) throw new SluiceError('job_not_found', { fields: { job: jobId }, param: 'id' });
    const outcome = progress.ended ? await readOutcome(tenant, jobId) : undefined;
    if (outcome) return { events: endedEvents(progress, outcome, after), next: 'end' };
    return { events: runningEvents(progress, entries, after), next: more ? 'look' : 'wait' };
  }
}

interface Looked {
  events: Iterable<JobEvent>;
  /** `end`: there is nothing more to come. */
  next: 'wait' | 'look' | 'end';
}

const passingErrors: ReadonlySet<string> = new Set(['store_unavailable', 'blobs_unavailable']);

/** A store that is away for a while costs a reader time, not its stream: it looks again with the next news or tick. */
function waitForStore(error: unknown, first: boolean): Looked {
  const passes = error instanceof SluiceError && passingErrors.has(error.code);
  if (first || !passes) throw error;
  return { events: [], next: 'wait' };
}

/** What an announcement tells by itself to a reader at this place; undefined when the store must be asked. */
function eventsTold(news: Announcement, place: EventPlace): Iterable<JobEvent> | undefined {
  const { kind, head, body } = news;
  if (kind === 'outcome') {
    const continues = body && head.streamed && head.attempts === place.epoch;
    return continues ? endedEvents({ attempt: head.attempts }, { head, body }, place) : undefined;
  }
  if (head.from === undefined) return runningEvents({ attempt: head.epoch }, [], place);
  const continues = body && head.epoch === place.epoch && head.from === Math.max(0, place.bytes);
  if (!continues) return undefined;
  const entry = { place: { epoch: head.epoch, bytes: head.from + body.length }, bytes: body };
  return runningEvents({ attempt: head.epoch }, [entry], place);
}
