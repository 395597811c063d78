import { type BackendFactory, createRedisBackend } from 'bullmq';
import type { FairOptions } from './claims.ts';
import { FairQueueBackend } from './fair-backend.ts';

/** The backend factory for BullMQ's Queue, Worker, FlowProducer and QueueEvents, and for our own claim loop. */
export function createFairBackend(fair: FairOptions): BackendFactory<FairQueueBackend> {
  return (name, options, factoryOptions) => {
    // BullMQ's factory knows how to open, share and duplicate connections; ours only takes them over.
    const plain = createRedisBackend(name, options, factoryOptions);
    plain.on('error', () => undefined);
    return new FairQueueBackend(plain.connection, name, plain.keys, options, fair, plain.blockingConnection);
  };
}
