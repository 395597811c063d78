import type { JobRoute } from './job.ts';

/** How often a job is looked at that leaves a pool which takes no calls. */
export const heldLookMs = 1_000;

/** Whether waiting jobs of the route leave a pool that is left alone after failures, or cooled for its quota. */
export const leavesHeld = ({ on }: JobRoute) => on.includes('breaker_open') || on.includes('quota');

/** When a job should be looked at first on account of its route, from its acceptance; undefined: as any other. */
export function firstLookMs(route: JobRoute): number | undefined {
  const looks = [route.waitOverMs, route.timeoutMs, leavesHeld(route) ? heldLookMs : undefined];
  const named = looks.filter((look) => look !== undefined);
  return named.length > 0 ? Math.min(...named) : undefined;
}
