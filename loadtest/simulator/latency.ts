import { z } from 'zod';
import type { Random } from '#shared/kernel/random.ts';

const maxDelayMs = 3_600_000;

export const latencySchema = z.strictObject({
  firstByteMs: z.number().min(0).max(maxDelayMs).default(0),
  perTokenMs: z.number().min(0).max(maxDelayMs).default(0),
  /** Fraction by which both may be shorter or longer. */
  jitter: z.number().min(0).max(1).default(0),
});

export type LatencyConfig = z.infer<typeof latencySchema>;

/** How long an answer takes: to its first byte, and for every output token. */
export interface Pace {
  firstByteMs: number;
  perTokenMs: number;
}

const immediately: Pace = { firstByteMs: 0, perTokenMs: 0 };

/** Draws the pace of every answer from the configured latency. */
export class Latency {
  #config: LatencyConfig;
  readonly #random: Random;

  constructor(config: LatencyConfig, random: Random) {
    this.#config = config;
    this.#random = random;
  }

  get config(): LatencyConfig {
    return this.#config;
  }

  replace(config: LatencyConfig): void {
    this.#config = config;
  }

  draw(): Pace {
    const { firstByteMs, perTokenMs } = this.#config;
    if (firstByteMs === 0 && perTokenMs === 0) return immediately;
    return { firstByteMs: firstByteMs * this.#factor(), perTokenMs: perTokenMs * this.#factor() };
  }

  #factor(): number {
    const { jitter } = this.#config;
    return jitter === 0 ? 1 : 1 + jitter * (2 * this.#random.next() - 1);
  }
}
