/** One limit as the model knows it: everything else about a call has been decided before. */
export interface ModelLimit {
  counter: string;
  counting: 'slots' | 'calendar' | 'bucket' | 'even' | 'open';
  dimension: string;
  amount: number;
  burst: number;
  windowMs: number;
  unit: string;
  full: 'reject' | 'queue';
}

export interface ModelCharge {
  limit: ModelLimit;
  cost: number;
}

interface Entry {
  atMs: number;
  amount: number;
}

const slotsPerWindow = 60;
const grainMs = 0.01;

/** What was let in under one counter, as a plain list; and the time until which a bucket leaks. */
class Counter {
  readonly #limit: ModelLimit;
  entries: Entry[] = [];
  untilMs = 0;
  open = 0;

  constructor(limit: ModelLimit) {
    this.#limit = limit;
  }

  get #slotMs(): number {
    return Math.ceil(this.#limit.windowMs / slotsPerWindow);
  }

  #slotOf(atMs: number): number {
    return Math.floor(atMs / this.#slotMs);
  }

  /** When what came in at this time counts no more. */
  #endOf(atMs: number): number {
    if (this.#limit.counting === 'calendar') return periodOf(this.#limit.unit, atMs).endMs;
    return (this.#slotOf(atMs) + 1) * this.#slotMs + this.#limit.windowMs;
  }

  #alive(nowMs: number): Entry[] {
    return this.entries.filter(({ atMs }) => this.#endOf(atMs) > nowMs);
  }

  used(nowMs: number): number {
    const { counting, windowMs, amount } = this.#limit;
    if (counting === 'open') return this.open;
    if (counting === 'bucket' || counting === 'even')
      return Math.ceil((Math.max(this.untilMs, nowMs) - nowMs) / (windowMs / amount) - grainMs);
    return this.#alive(nowMs).reduce((sum, entry) => sum + entry.amount, 0);
  }

  /** How long until `cost` fits; 0: now. */
  retryMs(cost: number, nowMs: number): number {
    const { counting, windowMs, amount, burst } = this.#limit;
    const leaksMs = Math.max(this.untilMs, nowMs) - nowMs;
    switch (counting) {
      case 'open':
        return this.open + cost > amount ? 1_000 : 0;
      case 'even':
        return leaksMs > grainMs ? Math.ceil(leaksMs) : 0;
      case 'bucket': {
        const overMs = leaksMs + (cost - burst) * (windowMs / amount);
        return overMs > grainMs ? Math.ceil(overMs) : 0;
      }
      case 'slots':
      case 'calendar': {
        let over = this.used(nowMs) + cost - amount;
        if (over <= 0) return 0;
        // Oldest first, until enough has come to its end.
        const alive = this.#alive(nowMs).toSorted((one, other) => one.atMs - other.atMs);
        for (const [index, entry] of alive.entries()) {
          over -= entry.amount;
          const next = alive[index + 1];
          const sameEnd = next && this.#endOf(next.atMs) === this.#endOf(entry.atMs);
          if (over <= 0 && !sameEnd) return this.#endOf(entry.atMs) - nowMs;
        }
        throw new Error('nothing would ever make room');
      }
    }
  }

  /** Returns how to change what was charged. */
  charge(cost: number, nowMs: number): (actual: number, laterMs: number) => void {
    const { counting, windowMs, amount } = this.#limit;
    if (counting === 'open') {
      this.open++;
      return () => {
        this.open--;
      };
    }
    if (counting === 'bucket' || counting === 'even') {
      const perUnitMs = windowMs / amount;
      this.untilMs = Math.max(this.untilMs, nowMs) + cost * perUnitMs;
      return (actual, laterMs) => {
        const delta = actual - cost;
        if (delta === 0) return;
        const fromMs = delta > 0 ? Math.max(this.untilMs, laterMs) : this.untilMs;
        this.untilMs = fromMs + delta * perUnitMs;
      };
    }
    const entry = { atMs: nowMs, amount: cost };
    this.entries.push(entry);
    return (actual) => {
      entry.amount = actual;
    };
  }
}

/** The period of the calendar that holds a moment, by the platform's own calendar. */
export function periodOf(unit: string, atMs: number): { beginMs: number; endMs: number } {
  const date = new Date(atMs);
  const [year, month, day] = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()];
  const hour = date.getUTCHours();
  const minute = date.getUTCMinutes();
  const sinceMonday = (date.getUTCDay() + 6) % 7;
  const at = (...parts: [number, number, number?, number?, number?]) => Date.UTC(...parts);
  switch (unit) {
    case 'm':
      return { beginMs: at(year, month, day, hour, minute), endMs: at(year, month, day, hour, minute + 1) };
    case 'h':
      return { beginMs: at(year, month, day, hour), endMs: at(year, month, day, hour + 1) };
    case 'd':
      return { beginMs: at(year, month, day), endMs: at(year, month, day + 1) };
    case 'w':
      return { beginMs: at(year, month, day - sinceMonday), endMs: at(year, month, day - sinceMonday + 7) };
    case 'M':
      return { beginMs: at(year, month, 1), endMs: at(year, month + 1, 1) };
    default:
      return { beginMs: at(year, 0, 1), endMs: at(year + 1, 0, 1) };
  }
}

interface Held {
  charges: readonly ModelCharge[];
  /** Undefined while it waits. */
  changes: ((actual: number, nowMs: number) => void)[] | undefined;
  /** The counter in whose line it stands. */
  line: string | undefined;
}

export type Verdict =
  | { kind: 'accepted'; waits: boolean }
  | { kind: 'limited'; retryMs: number }
  | { kind: 'too_large' };

/** What quotas promise, in plain memory: who is let in, who waits, who is refused and until when. */
export class QuotaModel {
  readonly #counters = new Map<string, Counter>();
  readonly jobs = new Map<string, Held>();

  #counterOf({ limit }: ModelCharge): Counter {
    const known = this.#counters.get(limit.counter) ?? new Counter(limit);
    this.#counters.set(limit.counter, known);
    return known;
  }

  used(charge: ModelCharge, nowMs: number): number {
    return this.#counterOf(charge).used(nowMs);
  }

  #waitsFor(counter: string): boolean {
    return [...this.jobs.values()].some(({ line }) => line === counter);
  }

  accept(jobId: string, charges: readonly ModelCharge[], nowMs: number, latestMs: number): Verdict {
    if (charges.some(({ limit, cost }) => cost > (limit.counting === 'bucket' ? limit.burst : limit.amount)))
      return { kind: 'too_large' };
    const retries = charges.map((charge) => {
      const retryMs = this.#counterOf(charge).retryMs(charge.cost, nowMs);
      const queues = charge.limit.full === 'queue';
      return {
        charge,
        queues,
        retryMs: queues && retryMs === 0 && this.#waitsFor(charge.limit.counter) ? 1 : retryMs,
      };
    });
    const refused = retries.filter(
      ({ queues, retryMs }) => retryMs > 0 && (!queues || nowMs + retryMs > latestMs),
    );
    if (refused.length > 0)
      return { kind: 'limited', retryMs: Math.max(...refused.map(({ retryMs }) => retryMs)) };
    const waits = longest(retries);
    const changes = waits ? undefined : charges.map((each) => this.#counterOf(each).charge(each.cost, nowMs));
    this.jobs.set(jobId, { charges, changes, line: waits?.charge.limit.counter });
    return { kind: 'accepted', waits: waits !== undefined };
  }

  /** Whether the job may begin. */
  begin(jobId: string, nowMs: number): boolean {
    const job = this.jobs.get(jobId)!;
    if (job.changes) return true;
    const retries = job.charges.map((charge) => ({
      charge,
      retryMs: this.#counterOf(charge).retryMs(charge.cost, nowMs),
    }));
    const waits = longest(retries);
    job.line = waits?.charge.limit.counter;
    if (!waits) job.changes = job.charges.map((each) => this.#counterOf(each).charge(each.cost, nowMs));
    return !waits;
  }

  /** `actual`: what it used, by dimension; undefined: what was held for it. */
  settle(jobId: string, actual: (dimension: string) => number | undefined, nowMs: number): void {
    const { charges, changes } = this.jobs.get(jobId)!;
    this.jobs.delete(jobId);
    for (const [index, change] of (changes ?? []).entries()) {
      const { limit, cost } = charges[index]!;
      change(actual(limit.dimension) ?? cost, nowMs);
    }
  }
}

function longest<T extends { retryMs: number }>(retries: readonly T[]): T | undefined {
  return retries.reduce<T | undefined>(
    (found, each) => (each.retryMs > (found?.retryMs ?? 0) ? each : found),
    undefined,
  );
}
