import { type JobJson, raw2NextJobData } from 'bullmq';
import type { DispatchReply } from './fair-scripts.ts';
import { type Grant, parseGrant } from './grant.ts';

/** One job that was handed out. */
export interface Claimed {
  id: string;
  json: JobJson;
  token: string;
  grant: Grant;
}

export interface Claims {
  claimed: Claimed[];
  /** When it is worth asking again, milliseconds from now; undefined: when the marker tells. */
  comeBackMs: number | undefined;
  /** How long BullMQ's own limiter refuses, milliseconds. */
  limitedMs: number;
}

export interface ClaimRequest {
  count: number;
  /** The tokens are `tokenPrefix` with the numbers from `tokenFrom` on; without numbers, the prefix itself. */
  tokenPrefix: string;
  tokenFrom?: number;
}

export const nobody: ClaimRequest = { count: 0, tokenPrefix: '' };
export const oneFor = (token: string): ClaimRequest => ({ count: 1, tokenPrefix: token });
export const nothingClaimed: DispatchReply = [[], -1, 0];

function tokenAt({ tokenPrefix, tokenFrom }: ClaimRequest, index: number): string {
  return tokenFrom === undefined ? tokenPrefix : `${tokenPrefix}${tokenFrom + index}`;
}

/** What a dispatch handed out, in the order of the tokens that were asked with. */
export function readClaims([jobs, comeBackMs, limitedMs]: DispatchReply, request: ClaimRequest): Claims {
  const claimed = jobs.map(([fields, id, grantText], index) => {
    const [json] = raw2NextJobData([fields, id, 0, 0]) as [JobJson];
    return { id, json, grant: parseGrant(grantText), token: tokenAt(request, index) };
  });
  return { claimed, comeBackMs: comeBackMs < 0 ? undefined : comeBackMs, limitedMs };
}
