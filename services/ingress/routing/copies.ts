import { SluiceError } from '#shared/kernel/errors.ts';
import type { Logger } from '#shared/telemetry/logger.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';

export interface CopiesOptions {
  /** Copies handed over at once; more are left out. */
  openMax: number;
  metrics: Metrics;
  log: Logger;
}

/** Hands over copies of calls beside the calls: nobody waits for them, and what becomes of them changes nothing else. */
export class Copies {
  readonly #options: CopiesOptions;
  #open = 0;

  constructor(options: CopiesOptions) {
    this.#options = options;
  }

  /** `take` accepts the copy as a job. */
  send(take: () => Promise<void>): void {
    const { openMax, metrics, log } = this.#options;
    if (this.#open >= openMax) {
      metrics.mirrored.inc({ result: 'left_out' });
      return;
    }
    this.#open++;
    take()
      .then(
        () => metrics.mirrored.inc({ result: 'sent' }),
        (error: unknown) => {
          metrics.mirrored.inc({ result: 'left_out' });
          const reason = error instanceof SluiceError ? error.code : String(error);
          log.debug({ reason }, 'a copy was left out');
        },
      )
      .finally(() => {
        this.#open--;
      });
  }
}
