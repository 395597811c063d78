import type { Settings } from '#config/schema.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import { type Learned, learnedField, parseLearned, untaught } from './learned.ts';

export interface LearnedEstimatesOptions {
  redis: RedisConnection;
  clock: Clock;
  settings: Pick<Settings['jobs'], 'learned_refresh_ms' | 'learned_tenants_max'>;
  onError: (error: unknown) => void;
}

interface Known {
  readAtMs: number;
  models: ReadonlyMap<string, Learned>;
}

/**
 * What was learned, as this process read it last. Nobody waits for it: a tenant that is not known yet, or was read too
 * long ago, is read in the background, and until then the caller gets what there is. Idle tenants cost nothing.
 */
export class LearnedEstimates {
  readonly #options: LearnedEstimatesOptions;
  /** In order of their last reading; the first is dropped when there are too many. */
  readonly #tenants = new Map<string, Known>();

  constructor(options: LearnedEstimatesOptions) {
    this.#options = options;
  }

  of(tenant: string, provider: string, model: string): Learned {
    const { clock, settings } = this.#options;
    const nowMs = clock.monotonicMs();
    const known = this.#tenants.get(tenant);
    if (!known || nowMs - known.readAtMs >= settings.learned_refresh_ms) {
      // Noted before the answer is there, so that there is one reading at a time, and a failed one is not repeated at once.
      this.#keep(tenant, { readAtMs: nowMs, models: known?.models ?? new Map() });
      this.#read(tenant, nowMs).catch(this.#options.onError);
    }
    return known?.models.get(learnedField(provider, model)) ?? untaught;
  }

  async #read(tenant: string, readAtMs: number): Promise<void> {
    const fields = await this.#options.redis.hgetall(keys.learned(tenant));
    const models = new Map<string, Learned>();
    for (const [field, text] of Object.entries(fields)) {
      const learned = parseLearned(text);
      if (learned) models.set(field, learned);
    }
    this.#keep(tenant, { readAtMs, models });
  }

  #keep(tenant: string, known: Known): void {
    this.#tenants.delete(tenant);
    this.#tenants.set(tenant, known);
    if (this.#tenants.size > this.#options.settings.learned_tenants_max) {
      this.#tenants.delete(this.#tenants.keys().next().value!);
    }
  }
}
