import type { ProviderSettings } from '#config/schema.ts';
import type { LimitReading } from '#shared/contracts/limit-reading.ts';
import type { Clock, Timer } from '#shared/kernel/clock.ts';
import type { ObservedLimits } from '#shared/queue/fair/observe-limits.ts';
import type { Logger } from '#shared/telemetry/logger.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';
import { WindowMatcher } from './match-window.ts';
import { placeLimits, readLimits } from './read-limits.ts';

/** An observation per credential and this long; what comes in between is told with the next, if it tells more. */
const tellEveryMs = 250;

export interface LimitWatchOptions {
  /** As metrics and logs name it: `provider/pool`. */
  pool: string;
  minuteMs: number;
  /** What is known of the headers of this provider. */
  headers: ProviderSettings['limit_headers'];
  /** Usage tier of the configuration, for the log. */
  tier: string | undefined;
  observe: (credential: string, ageMs: number, readings: readonly LimitReading[]) => Promise<ObservedLimits>;
  clock: Clock;
  metrics: Metrics;
  log: Logger;
  onError: (error: unknown) => void;
}

interface Observation {
  readings: LimitReading[];
  sentMs: number;
  /** How near it is to a limit; two of different age are comparable. */
  weight: number;
}

/**
 * Hears what the answers of one pool say about its limits, and tells the pool the most telling of it, never more often
 * than every 250 ms for a credential and never in the way of a call.
 */
export class LimitWatch {
  readonly #options: LimitWatchOptions;
  readonly #windows = new Map<string, WindowMatcher>();
  readonly #pending = new Map<string, Observation>();
  readonly #timers = new Map<string, Timer>();

  constructor(options: LimitWatchOptions) {
    this.#options = options;
  }

  /** `sentMs`: when the request left, on the monotonic clock. */
  heard(credential: string, headers: Readonly<Record<string, string>>, sentMs: number): void {
    const { clock, metrics, pool, minuteMs, headers: known } = this.#options;
    const windows = this.#windows.get(credential) ?? new WindowMatcher(minuteMs);
    this.#windows.set(credential, windows);
    const named = placeLimits(readLimits(headers, clock.nowMs()), known);
    const readings = named.flatMap((limit) => windows.match(limit) ?? []);
    if (readings.length === 0) return;
    for (const { dimension, windowMs, limit } of readings) {
      const window = windowMs === minuteMs ? 'minute' : 'day';
      metrics.providerLimits.set({ pool, credential, dimension, window }, limit);
    }
    // An older reading is worth less by what a limit gives back meanwhile.
    const weight = Math.max(...readings.map(({ used, limit, windowMs }) => used / limit + sentMs / windowMs));
    const pending = this.#pending.get(credential);
    if (!pending || weight > pending.weight) this.#pending.set(credential, { readings, sentMs, weight });
    if (!this.#timers.has(credential)) this.#tell(credential);
  }

  stop(): void {
    for (const timer of this.#timers.values()) timer.cancel();
    this.#pending.clear();
  }

  #tell(credential: string): void {
    const { clock, observe, onError } = this.#options;
    this.#timers.delete(credential);
    const pending = this.#pending.get(credential);
    if (!pending) return;
    this.#pending.delete(credential);
    this.#timers.set(
      credential,
      clock.after(tellEveryMs, () => this.#tell(credential)),
    );
    const ageMs = Math.ceil(clock.monotonicMs() - pending.sentMs);
    observe(credential, ageMs, pending.readings)
      .then((observed) => this.#report(credential, observed))
      .catch(onError);
  }

  #report(credential: string, { changes, foreign }: ObservedLimits): void {
    const { metrics, pool, log, tier } = this.#options;
    for (const { ceiling, from, to, adopted } of changes) {
      metrics.limitChanges.inc({ pool, credential, ceiling, adopted: String(adopted) });
      const details = { pool, credential, ceiling, from, to, tier };
      if (adopted) log.info(details, 'the provider named another limit: adopted');
      else log.warn(details, 'the provider names another limit than the configuration');
    }
    for (const { ceiling, amount } of foreign) metrics.foreignUse.inc({ pool, credential, ceiling }, amount);
  }
}
