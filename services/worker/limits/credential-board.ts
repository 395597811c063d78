import type { Clock } from '#shared/kernel/clock.ts';
import type { CredentialNews } from '#shared/queue/fair/credential-health.ts';
import type { Grant } from '#shared/queue/fair/grant.ts';
import type { Logger } from '#shared/telemetry/logger.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';

export interface CredentialBoardOptions {
  /** As metrics and logs name it: `provider/pool`. */
  pool: string;
  clock: Clock;
  metrics: Metrics;
  log: Logger;
}

const holding = new Set(['cooled', 'open', 'billing']);
/** Of the states that metrics show. */
const gaugeStates = ['open', 'billing'] as const;
const sentences = {
  open: 'a circuit breaker opened: nothing is sent until a probe succeeds',
  closed: 'a circuit breaker closed',
  billing: 'the provider refuses a credential over money (balance or spend limit): it is parked and probed',
  ramp: 'the provider says that we grew too fast: the credential is slowed down',
} as const;

/**
 * What this worker knows of the credentials of one pool. Dispatch decides in Redis; this is for what was granted before
 * a credential was held back and is not sent yet.
 */
export class CredentialBoard {
  readonly #options: CredentialBoardOptions;
  readonly #heldAtMs = new Map<string, number>();
  readonly #refusedMs = new Map<string, number>();

  constructor(options: CredentialBoardOptions) {
    this.#options = options;
  }

  /** News from Redis, of whichever worker. */
  heard({ credential, state, forMs, atMs }: CredentialNews): void {
    const { pool, metrics } = this.#options;
    if (holding.has(state)) this.#heldAtMs.set(credential, atMs);
    if (state === 'cooled') metrics.credentialCooldowns.inc({ pool, credential });
    else {
      metrics.breakerChanges.inc({ pool, credential, state });
      if (state !== 'ramp')
        for (const name of gaugeStates)
          metrics.breakerOpen.set({ pool, credential, why: name }, name === state ? 1 : 0);
    }
    if (state !== 'cooled') this.#tell(credential, state, forMs);
  }

  /** The provider just refused a call on it: what was asked for until now is not to be sent. */
  refused(credential: string): void {
    this.#refusedMs.set(credential, this.#options.clock.monotonicMs());
  }

  /** Whether the credential was held back after this grant was given. */
  isHeld({ credential, askedMs, timeMs }: Grant): boolean {
    if (credential === undefined) return false;
    const isRefused = askedMs <= (this.#refusedMs.get(credential) ?? Number.NEGATIVE_INFINITY);
    const heldMs = Math.max(this.#heldAtMs.get(credential) ?? 0, this.#heldAtMs.get('*') ?? 0);
    return isRefused || timeMs <= heldMs;
  }

  #tell(credential: string, state: keyof typeof sentences, forMs: number): void {
    const { pool, log } = this.#options;
    const details = { pool, credential, state, forMs };
    if (state === 'billing') log.error(details, sentences.billing);
    else if (state === 'closed') log.info(details, sentences.closed);
    else log.warn(details, sentences[state]);
  }
}
