/** What a job was given when it was handed out. */
export interface Grant {
  /** When, on Redis' clock. A grant that is too old when the request would be sent goes back (`giveBack`). */
  timeMs: number;
  /** Which credential to send it with; undefined in a pool without credentials. */
  credential: string | undefined;
  /** True when no credential can ever hold a request of this size: it is to be refused, not sent. */
  oversize: boolean;
}

const oversizeMark = '!oversize';

/** Reads the grant as grants.lua writes it. */
export function parseGrant(text: string): Grant {
  const [timeMs, credential] = text.split(' ', 2);
  return {
    timeMs: Number(timeMs),
    credential: credential === '-' || credential === oversizeMark ? undefined : credential,
    oversize: credential === oversizeMark,
  };
}
