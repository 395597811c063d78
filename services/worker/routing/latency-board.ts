import type { Settings } from '#config/schema.ts';
import type { Clock, Timer } from '#shared/kernel/clock.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import type { Live } from '#shared/kernel/live-value.ts';
import { writeLatencies } from '#shared/queue/model-latencies.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';

export interface LatencyBoardOptions {
  live: Live<Pick<Settings, 'routes'>>;
  redis: RedisConnection;
  clock: Clock;
  onError: (error: unknown) => void;
}

/** Share of the newest call in the mean. */
const newest = 0.2;
const tellMs = 1_000;
/** Callers name models where a pool takes any; beyond this many the one known longest is forgotten. */
const modelsMax = 1_000;

/**
 * How long models take (a moving mean), told to the ingresses once a second while a route goes by it. A call that timed
 * out counts with the time it took, so that a provider that hangs becomes slow.
 */
export class LatencyBoard implements Service {
  readonly name = 'latencies';
  readonly #options: LatencyBoardOptions;
  readonly #means = new Map<string, number>();
  readonly #changed = new Set<string>();
  #timer: Timer | undefined;

  constructor(options: LatencyBoardOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { clock, onError } = this.#options;
    this.#timer = clock.every(tellMs, () => void this.#tell().catch(onError));
  }

  async stop(): Promise<void> {
    this.#timer?.cancel();
  }

  note(provider: string, model: string, durationMs: number): void {
    if (!this.#isWanted()) return;
    const name = `${provider}/${model}`;
    const mean = this.#means.get(name);
    this.#means.set(name, mean === undefined ? durationMs : mean + newest * (durationMs - mean));
    this.#changed.add(name);
    if (this.#means.size > modelsMax) this.#means.delete(this.#means.keys().next().value!);
  }

  #isWanted(): boolean {
    return Object.values(this.#options.live.current.routes).some(({ strategy }) => strategy === 'latency');
  }

  async #tell(): Promise<void> {
    const told = [...this.#changed].flatMap((name): [string, number][] => {
      const mean = this.#means.get(name);
      return mean === undefined ? [] : [[name, mean]];
    });
    this.#changed.clear();
    if (told.length > 0) await writeLatencies(this.#options.redis, new Map(told));
  }
}
