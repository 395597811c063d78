import type { Redis } from 'ioredis';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Random, seededRandom } from '#shared/kernel/random.ts';
import { observeLimits } from '#shared/queue/fair/observe-limits.ts';
import { coolDown } from '#shared/queue/fair/publish-pool.ts';
import { rateHeaders } from '../../loadtest/simulator/dialects/rate-headers.ts';
import { LimitBook } from '../../loadtest/simulator/limits/limit-book.ts';
import { WindowMatcher } from '../../services/worker/limits/match-window.ts';
import { readLimits } from '../../services/worker/limits/read-limits.ts';
import { RedisProcess } from '../harness/redis-process.ts';
import { FairPool } from '../queue/fair/fair-pool.ts';

let redis: Redis;
beforeAll(async () => {
  const server = await RedisProcess.start();
  redis = server.connect();
  return () => server.stop();
});

type Shape = 'refill' | 'fixed' | 'rolling';

interface Play {
  shape: Shape;
  dialect: 'openai' | 'azure' | 'mistral' | 'anthropic';
  sharedUse: number;
  latencyMs: number;
}

const amount = 450;
const windowMs = 30_000;
const windows = 5;
const backlog = 8;
const observeEveryMs = 250;
const demand = { inputTokens: 1, maxTokens: 1 };

interface Watched {
  /** Refused in each window. */
  refused: number[];
  /** Admitted in each window, as a part of what is left for us. */
  used: number[];
  foreign: number;
}

/** Drains a pool against the simulator's own meters, in time that is supplied, through the real headers. */
class Drain {
  readonly #pool: FairPool;
  readonly #book: LimitBook;
  readonly #play: Play;
  readonly #random: Random;
  readonly #matcher = new WindowMatcher(windowMs);
  readonly #startMs: number;
  readonly #events: { atMs: number; run: () => Promise<void> }[] = [];
  readonly watched: Watched = {
    refused: Array<number>(windows).fill(0),
    used: Array<number>(windows).fill(0),
    foreign: 0,
  };
  #added = 0;
  #claimed = 0;
  #observedMs = 0;

  constructor(pool: FairPool, play: Play, seed: number) {
    this.#pool = pool;
    this.#play = play;
    this.#random = seededRandom(seed);
    this.#startMs = pool.nowMs;
    this.#book = new LimitBook({
      scopes: [
        {
          headerDialect: play.dialect,
          sharedUse: play.sharedUse,
          limits: [{ dimension: 'requests', amount, windowMs, shape: play.shape }],
        },
      ],
    });
  }

  async run(): Promise<Watched> {
    const endMs = this.#startMs + windows * windowMs;
    let claimAtMs = this.#startMs;
    while (this.#pool.nowMs < endMs) {
      this.#events.sort((one, other) => one.atMs - other.atMs);
      const next = this.#events[0];
      if (Math.min(next?.atMs ?? claimAtMs, claimAtMs) >= endMs) break;
      if (next && next.atMs <= claimAtMs) {
        this.#events.shift();
        this.#pool.nowMs = Math.max(this.#pool.nowMs, next.atMs);
        await next.run();
      } else {
        this.#pool.nowMs = Math.max(this.#pool.nowMs, claimAtMs);
        claimAtMs = await this.#claim();
      }
    }
    return this.watched;
  }

  async #claim(): Promise<number> {
    while (this.#added < this.#claimed + backlog)
      await this.#pool.add(`job${this.#added++}`, { tenant: 'a' });
    const { claimed, comeBackMs } = await this.#pool.claim(4);
    this.#claimed += claimed.length;
    for (const { id } of claimed) {
      const sentMs = this.#pool.nowMs + 2;
      this.#at(sentMs + this.#random.next() * 20, () => this.#arrive(id, sentMs));
    }
    return this.#pool.nowMs + Math.max(1, comeBackMs ?? 1);
  }

  async #arrive(id: string, sentMs: number): Promise<void> {
    const { nowMs } = this.#pool;
    const decision = this.#book.decide(nowMs, 'key', 'model', demand);
    const isRefused = 'refusal' in decision && decision.refusal !== undefined;
    const window = Math.floor((nowMs - this.#startMs) / windowMs);
    if (isRefused) this.watched.refused[window]!++;
    else this.watched.used[window]! += 1 / (amount * (1 - this.#play.sharedUse));
    const flat = rateHeaders(decision.scopes, {
      nowMs,
      status: isRefused ? 429 : 200,
      stream: false,
      tokenCost: 2,
    });
    const headers = Object.fromEntries(
      flat.flatMap((name, index) => (index % 2 === 0 ? [[name, flat[index + 1]!]] : [])),
    );
    const takesMs = isRefused ? 5 : this.#play.latencyMs * (0.5 + this.#random.next());
    const waitMs = isRefused ? Math.max(1_000, Math.ceil(decision.refusal!.waitMs / 1_000) * 1_000) : 0;
    this.#at(nowMs + takesMs, () => this.#answer(id, sentMs, headers, waitMs));
  }

  async #answer(id: string, sentMs: number, headers: Record<string, string>, waitMs: number): Promise<void> {
    const { nowMs } = this.#pool;
    if (nowMs - this.#observedMs >= observeEveryMs) {
      this.#observedMs = nowMs;
      const readings = readLimits(headers, nowMs).flatMap((limit) => this.#matcher.match(limit) ?? []);
      const { foreign } = await observeLimits(this.#pool.backend, 'key', nowMs - sentMs, readings);
      for (const each of foreign) this.watched.foreign += each.amount;
    }
    if (waitMs > 0) await coolDown(this.#pool.backend, 'key', waitMs);
    await this.#pool.complete(id);
  }

  #at(atMs: number, run: () => Promise<void>): void {
    this.#events.push({ atMs: Math.ceil(atMs), run });
  }
}

async function drain(play: Play): Promise<Watched> {
  const pool = await FairPool.open(redis, {
    credentials: [{ id: 'key', scope: 'org' }],
    scopes: { org: [{ dimension: 'requests', amount, windowMs }] },
  });
  pool.nowMs += 7_000;
  try {
    return await new Drain(pool, play, 1).run();
  } finally {
    await pool.close();
  }
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
const mean = (values: readonly number[]) => sum(values) / values.length;

const plays = (
  [
    ['refill', 'openai', 3_000],
    ['refill', 'anthropic', 40],
    ['fixed', 'azure', 40],
    ['rolling', 'openai', 40],
  ] as const
).map(([shape, dialect, latencyMs]) => ({ shape, dialect, latencyMs }));

describe('a key that nobody else uses', () => {
  test.each(plays)('is never charged for others: $shape as $dialect, $latencyMs ms', async (play) => {
    const { foreign, used, refused } = await drain({ ...play, sharedUse: 0 });

    expect(foreign).toBe(0);
    expect(sum(refused.slice(1))).toBe(0);
    expect(mean(used.slice(1))).toBeGreaterThan(0.985);
  });
});

describe('a key of which others use 40 %', () => {
  test.each(plays)(
    'is used to the full without refusals: $shape as $dialect, $latencyMs ms',
    async (play) => {
      const { foreign, used, refused } = await drain({ ...play, sharedUse: 0.4 });
      expect(foreign).toBeGreaterThan(0);
      expect(sum(refused.slice(2))).toBeLessThanOrEqual(5);
      expect(mean(used.slice(2))).toBeGreaterThan(0.93);
    },
  );
});
