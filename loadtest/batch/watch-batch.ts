import type OpenAI from 'openai';
import { systemClock } from '#shared/kernel/clock.ts';
import type { KillInTurn } from './kill-in-turn.ts';
import type { MemoryWatch } from './memory-watch.ts';
import type { PartialOutput } from './partial-output.ts';

const pollMs = 250;
const sayMs = 5_000;
const ends = ['completed', 'failed', 'expired', 'cancelled'];

/** What was seen of a batch while it ran. */
export interface Watched {
  batch: OpenAI.Batches.Batch;
  /** Lines of the output that were read before the batch had ended. */
  linesReadWhileRunning: number;
  /** Resident megabytes of the largest process of each role when so many quarters of the lines were done. */
  rssMbAtQuarters: Record<string, number>[];
}

/** Follows a batch to its end, whoever is away meanwhile; reads what there is of its output, and kills whom it is told to. */
export async function watchBatch(
  openai: OpenAI,
  batchId: string,
  parts: { memory: MemoryWatch; killing: KillInTurn; partial: PartialOutput },
): Promise<Watched> {
  const { memory, killing, partial } = parts;
  const rssMbAtQuarters: Record<string, number>[] = [];
  let linesReadWhileRunning = 0;
  let saidAtMs = 0;
  for (;;) {
    const batch = await openai.batches.retrieve(batchId).catch(() => undefined);
    if (batch) {
      const { total, completed, failed } = batch.request_counts!;
      const done = completed + failed;
      const share = total === 0 ? 0 : done / total;
      while (rssMbAtQuarters.length < Math.floor(share * 4)) rssMbAtQuarters.push(await memory.now());
      await partial.readOn().catch(() => undefined);
      if (ends.includes(batch.status)) return { batch, linesReadWhileRunning, rssMbAtQuarters };
      linesReadWhileRunning = partial.lines;
      if (systemClock.monotonicMs() - saidAtMs > sayMs) {
        saidAtMs = systemClock.monotonicMs();
        console.error(`${batch.status} ${done} of ${total}, ${partial.lines} lines of output read`);
      }
      await killing.progressed(done, share);
    }
    await systemClock.sleep(pollMs);
  }
}
