import type { Clock } from '#shared/kernel/clock.ts';
import type { ArrivalLog } from './arrivals/arrival-log.ts';
import type { Corpus } from './corpus.ts';
import type { FaultBook } from './faults/fault-book.ts';
import type { Latency } from './latency.ts';
import type { LimitBook } from './limits/limit-book.ts';

/** Everything a request can touch. */
export interface Simulation {
  clock: Clock;
  /** Wall clock in milliseconds with the monotonic clock's fraction; it never runs backwards. */
  nowMs(): number;
  log: ArrivalLog;
  limits: LimitBook;
  faults: FaultBook;
  latency: Latency;
  corpus: Corpus;
  acceptsKey(key: string): boolean;
  maxBodyBytes: number;
}
