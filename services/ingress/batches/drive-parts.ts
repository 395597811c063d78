import type { BatchRecord } from '#shared/batches/batch-record.ts';
import type { OutcomeWaiter } from '#shared/results/await-outcome.ts';
import type { IngressParts } from '../ingress-parts.ts';
import type { Places } from './places.ts';

/** What driving batches needs; built once in open-batches.ts. */
export interface DriveParts extends Omit<IngressParts, 'waiter' | 'ingressId'> {
  /** Waits for the jobs of lines; its own list, because its re-reads are slower than those of open calls. */
  waiter: OutcomeWaiter;
  waiterId: string;
  /** Lines under way in all batches of this process. */
  places: Places;
  /** Jobs of lines that are known to have been accepted. */
  accepted: Set<string>;
  /** The input of a batch from that byte on. @throws SluiceError file_not_found */
  readInput: (batch: BatchRecord, fromByte: number) => Promise<AsyncIterable<Uint8Array>>;
  onError: (error: unknown) => void;
}
