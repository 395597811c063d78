import { systemClock } from '#shared/kernel/clock.ts';

const pollMs = 10;

/** Resolves with the first truthy value of `look`; rejects with `what` when none comes within `timeoutMs`. */
export async function until<T>(
  what: string,
  look: () => T | Promise<T>,
  timeoutMs = 60_000,
): Promise<NonNullable<T>> {
  const giveUpAt = systemClock.monotonicMs() + timeoutMs;
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    if (systemClock.monotonicMs() > giveUpAt)
      throw new Error(`never happened within ${timeoutMs} ms: ${what}`);
    await systemClock.sleep(pollMs);
  }
}
