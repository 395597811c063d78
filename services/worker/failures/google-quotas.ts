type Fields = Record<string, unknown>;

const objects = (value: unknown): Fields[] =>
  Array.isArray(value) ? value.filter((each) => typeof each === 'object' && each !== null) : [];

/** The `details` of a Google error. */
export function googleDetails(body: Fields | undefined): Fields[] {
  return objects((body?.error as { details?: unknown } | undefined)?.details);
}

/** Ids of the quotas that a Google refusal names as used up. */
export function googleQuotas(body: Fields | undefined): string[] {
  return googleDetails(body)
    .flatMap(({ violations }) => objects(violations))
    .map(({ quotaId }) => quotaId)
    .filter((id) => typeof id === 'string');
}

const dayMs = 86_400_000;
const pacificTime = new Intl.DateTimeFormat('en-US', {
  timeZone: 'America/Los_Angeles',
  hourCycle: 'h23',
  hour: 'numeric',
  minute: 'numeric',
  second: 'numeric',
});

/** Until the daily quotas of Google begin anew: midnight in California. A day that changes its clock is an hour off. */
export function untilPacificMidnightMs(nowMs: number): number {
  const parts = new Map(pacificTime.formatToParts(nowMs).map(({ type, value }) => [type, Number(value)]));
  const seconds = parts.get('hour')! * 3_600 + parts.get('minute')! * 60 + parts.get('second')!;
  return dayMs - seconds * 1_000 - (nowMs % 1_000);
}
