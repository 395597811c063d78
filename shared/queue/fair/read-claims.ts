import { type JobJson, raw2NextJobData } from 'bullmq';
import type { ClaimRequest, Claims } from './claims.ts';
import type { DispatchReply } from './fair-scripts.ts';
import { parseGrant } from './grant.ts';

/** Token of the job at `index` of a claim; the counterpart of tokenAt in lua/includes/hand-out.lua. */
function tokenAt({ tokenPrefix, tokenFrom }: ClaimRequest, index: number): string {
  return tokenFrom === undefined ? tokenPrefix : `${tokenPrefix}${tokenFrom + index}`;
}

/** What a script handed out; `askedMs` is when it was asked, on the clock that never goes back. */
export function readClaims(
  [jobs, comeBackMs, limitedMs, lateMs]: DispatchReply,
  request: ClaimRequest,
  askedMs: number,
): Claims {
  const claimed = jobs.map(([fields, id, grantText], index) => {
    const [json] = raw2NextJobData([fields, id, 0, 0]) as [JobJson];
    return { id, json, grant: parseGrant(grantText, askedMs), token: tokenAt(request, index) };
  });
  return { claimed, comeBackMs: comeBackMs < 0 ? undefined : comeBackMs, limitedMs, lateMs };
}
