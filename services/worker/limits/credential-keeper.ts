import type { Clock } from '#shared/kernel/clock.ts';
import type { EndedCall, HealthReport } from '#shared/queue/fair/credential-health.ts';
import type { Grant } from '#shared/queue/fair/grant.ts';
import type { AttemptResult } from '../attempt-result.ts';
import type { StoreRetry } from '../store-retry.ts';
import { endingOf } from './call-ending.ts';
import type { CredentialBoard } from './credential-board.ts';

export interface CredentialKeeperOptions {
  board: CredentialBoard;
  /** Holds a credential back for so long from now. */
  coolDown: (credential: string, forMs: number) => Promise<void>;
  report: (call: EndedCall) => Promise<HealthReport>;
  storeRetry: StoreRetry;
  clock: Clock;
  onError: (error: unknown) => void;
}

export interface AttemptEnd {
  result: AttemptResult;
  /** On the monotonic clock. */
  endedMs: number;
  /** How long the provider is to be left alone after its refusal; undefined when it refused nothing. */
  coolMs: number | undefined;
}

/** What the end of a call tells of the others of its pool. */
export interface CredentialHealth {
  /** Money stops this credential, and another one may serve the job. */
  otherServes: boolean;
  /** The pool, or its only credential, is left alone from now on. */
  isOpen: boolean;
}

const nothingNew: CredentialHealth = { otherServes: false, isOpen: false };

/** Draws from every call what it means for its credential, and tells the pool. */
export class CredentialKeeper {
  readonly #options: CredentialKeeperOptions;

  constructor(options: CredentialKeeperOptions) {
    this.#options = options;
  }

  /** Whether what was granted must not be sent, because its credential was held back meanwhile. */
  isHeld(grant: Grant): boolean {
    return this.#options.board.isHeld(grant);
  }

  async afterCall(
    grant: Grant,
    jobId: string,
    { result, endedMs, coolMs }: AttemptEnd,
  ): Promise<CredentialHealth> {
    const { credential, watched } = grant;
    const { board, coolDown, report, storeRetry, clock, onError } = this.#options;
    if (credential === undefined) return nothingNew;
    const ending = endingOf(result);
    if (coolMs !== undefined || ending === 'billing') board.refused(credential);
    if (coolMs !== undefined) {
      // What is left of it: the answer is older than the moment at which the store takes it.
      const left = () => Math.max(0, endedMs + coolMs - clock.monotonicMs());
      await storeRetry.run(() => coolDown(credential, left()));
    }
    if ((ending === 'served' || ending === 'nothing') && !watched) return nothingNew;
    const atLeastMs = result.kind === 'refused' ? (result.retryAfterMs ?? 0) : 0;
    try {
      const { others, changes } = await report({ credential, jobId, ending, atLeastMs });
      const opened = changes.filter(({ state }) => state === 'open').map((change) => change.credential);
      const isOpen = opened.includes('*') || (opened.includes(credential) && others === 0);
      return { otherServes: ending === 'billing' && others > 0, isOpen };
    } catch (error) {
      onError(error);
      return nothingNew;
    }
  }
}
