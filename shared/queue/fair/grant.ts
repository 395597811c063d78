/** What a job was given when it was handed out. */
export interface Grant {
  /** When it was asked for, on this process' monotonic clock: it cannot be older than that. */
  askedMs: number;
  /** When it was given, on Redis' clock. */
  timeMs: number;
  /** Which credential to send it with; undefined in a pool without credentials. */
  credential: string | undefined;
  /** True when no credential can ever hold a request of this size: it is to be refused, not sent. */
  oversize: boolean;
  /** How long after `timeMs` the provider counts the call where it was counted here; undefined: as long as its window. */
  lastsMs: number | undefined;
  /** How its call ends is to be reported: it is the probe of an interruption, or follows a failure. */
  watched: boolean;
}

const oversizeMark = '!oversize';

/** Reads the grant as grants.lua writes it. */
export function parseGrant(text: string, askedMs: number): Grant {
  const [timeMs, credential, lastsMs, watched] = text.split(' ', 4);
  return {
    askedMs,
    timeMs: Number(timeMs),
    credential: credential === '-' || credential === oversizeMark ? undefined : credential,
    oversize: credential === oversizeMark,
    lastsMs: lastsMs === '-' ? undefined : Number(lastsMs),
    watched: watched !== undefined,
  };
}
