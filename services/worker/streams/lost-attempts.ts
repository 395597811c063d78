import type { Settings } from '#config/schema.ts';
import type { Endpoint } from '#shared/contracts/endpoint.ts';
import { beforeEverything } from '#shared/contracts/job-events.ts';
import type { Ticket } from '#shared/contracts/ticket.ts';
import type { JobStore } from '#shared/jobs/job-store.ts';
import { noteLostAttempt } from '#shared/jobs/note-lost.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import type { EventLog } from '#shared/results/event-log.ts';
import type { PricedPlace, Prices } from '#shared/tokens/price.ts';
import { wireOf } from '../providers/adapters.ts';
import type { StoreRetry } from '../store-retry.ts';
import { StreamInvalid } from './stream-invalid.ts';
import { StreamRelay } from './stream-relay.ts';

/** What was called. */
type LostCall = PricedPlace & { endpoint: Endpoint };

export interface LostAttemptsParts {
  log: EventLog;
  jobs: JobStore;
  redis: RedisConnection;
  storeRetry: StoreRetry;
  prices: Prices;
  settings: Settings['streams'];
}

/**
 * What an attempt had streamed when its worker was lost was made, and is paid for: the event log still holds it when the
 * next attempt begins, or the job ends without one. It is counted then, and charged with the end of the job.
 */
export class LostAttempts {
  readonly #parts: LostAttemptsParts;

  constructor(parts: LostAttemptsParts) {
    this.#parts = parts;
  }

  /** Notes what attempts before `attempt` left in the log; call it before this one writes there. */
  async note({ tenant, job, input }: Ticket, lostCall: LostCall, attempt: number): Promise<void> {
    const { endpoint } = lostCall;
    const { storeRetry, redis, settings, prices } = this.#parts;
    const relay = new StreamRelay({
      reader: wireOf(endpoint).streamReader(endpoint),
      hideUsage: false,
      eventMaxBytes: settings.event_max_bytes,
      eventsMax: settings.events_max,
      emit: () => undefined,
    });
    const lost = await storeRetry.run(() => this.#read(tenant, job, attempt));
    if (!lost) return;
    try {
      relay.push(lost.bytes);
    } catch (error) {
      // What came after is not counted; the job goes on.
      if (!(error instanceof StreamInvalid)) throw error;
    }
    const usage = relay.usage(input ?? 0);
    const cost = prices.priceOf(lostCall, usage);
    await storeRetry.run(() => noteLostAttempt(redis, tenant, job, lost.attempt, usage, cost));
  }

  /** The same for a job that ends without another attempt. */
  async noteLast(ticket: Ticket): Promise<void> {
    const { jobs, storeRetry } = this.#parts;
    const view = await storeRetry.run(() => jobs.view(ticket.tenant, ticket.job));
    if (view?.state === 'running') await this.note(ticket, view, view.attempt + 1);
  }

  async #read(
    tenant: string,
    job: string,
    before: number,
  ): Promise<{ attempt: number; bytes: Buffer } | undefined> {
    const pieces: Buffer[] = [];
    let attempt = 0;
    for (let after = beforeEverything, more = true; more; ) {
      const page = await this.#parts.log.read(tenant, job, after);
      for (const { place, bytes } of page.entries) {
        if (place.epoch >= before) continue;
        // An attempt drops what the one before it left, but may die between its first entry and that.
        if (place.epoch > attempt) pieces.length = 0;
        attempt = place.epoch;
        pieces.push(bytes);
      }
      more = page.more;
      after = page.entries.at(-1)?.place ?? after;
    }
    return attempt === 0 ? undefined : { attempt, bytes: Buffer.concat(pieces) };
  }
}
