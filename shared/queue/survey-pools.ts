import type { Clock } from '#shared/kernel/clock.ts';
import type { PoolExplanation } from './fair/explain.ts';
import type { PoolQueues } from './pool-queues.ts';

export interface PoolSurvey {
  pools: (PoolExplanation & { provider: string; pool: string })[];
}

/** However many look, Redis is asked at most this often. */
const freshMs = 500;

/** How all pools are, for people who watch them: who asks soon after another, or meanwhile, gets the same answer. */
export function surveyPools(queues: Pick<PoolQueues, 'all'>, clock: Clock): () => Promise<PoolSurvey> {
  let latest: Promise<PoolSurvey> | undefined;
  let askedAtMs = 0;
  return () => {
    if (latest && clock.monotonicMs() - askedAtMs < freshMs) return latest;
    askedAtMs = clock.monotonicMs();
    latest = survey(queues);
    return latest;
  };
}

async function survey(queues: Pick<PoolQueues, 'all'>): Promise<PoolSurvey> {
  const pools = await Promise.all(
    queues.all().map(async (queue) => ({ ...queue.id, ...(await queue.explainAll()) })),
  );
  return { pools };
}
