const msPerSecond = 1000;
const msPerMinute = 60_000;
const msPerHour = 3_600_000;

/**
 * A duration as Go prints it and OpenAI sends it: '8ms', '8.64s', '7m12s', '1h0m0s'. Rounded up to a whole
 * millisecond, so that whoever waits exactly that long is not early.
 */
export function goDuration(durationMs: number): string {
  // A wait that is whole but for the noise of the last digits stays whole.
  const ms = Math.ceil(durationMs - 1e-6);
  if (ms <= 0) return '0s';
  if (ms < msPerSecond) return `${ms}ms`;
  const hours = Math.floor(ms / msPerHour);
  const minutes = Math.floor((ms % msPerHour) / msPerMinute);
  const seconds = `${(ms % msPerMinute) / msPerSecond}s`;
  if (hours > 0) return `${hours}h${minutes}m${seconds}`;
  return minutes > 0 ? `${minutes}m${seconds}` : seconds;
}

/** Whole seconds, rounded up, as Retry-After wants them; at least one. */
export function retryAfterSeconds(durationMs: number): number {
  return Math.max(1, Math.ceil((durationMs - 1e-6) / msPerSecond));
}
