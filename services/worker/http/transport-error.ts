/**
 * Why there is no answer. `notSent`: the provider saw nothing of the request. `timeout`, `broken`: it may have done
 * the work. `tooLarge`: the answer passed the bound. `aborted`: we stopped it ourselves.
 */
export type TransportFailure = 'notSent' | 'timeout' | 'broken' | 'tooLarge' | 'aborted';

export class TransportError extends Error {
  readonly failure: TransportFailure;

  constructor(failure: TransportFailure, detail: string) {
    super(detail);
    this.name = 'TransportError';
    this.failure = failure;
  }
}
