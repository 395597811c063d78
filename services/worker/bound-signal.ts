import type { Clock } from '#shared/kernel/clock.ts';
import { TransportError } from './http/transport-error.ts';

/** The signal, which also ends a request that has taken `forMs`. */
export function boundSignal(clock: Clock, signal: AbortSignal, forMs: number) {
  const bound = new AbortController();
  const stop = () => bound.abort(signal.reason);
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop, { once: true });
  const timer = clock.after(forMs, () => bound.abort(new TransportError('timeout', 'time-out of its route')));
  const release = () => {
    timer.cancel();
    signal.removeEventListener('abort', stop);
  };
  return { signal: bound.signal, release };
}
