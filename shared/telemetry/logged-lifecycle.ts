import type { Settings } from '#config/schema.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import { describeError } from '#shared/kernel/errors.ts';
import { Lifecycle } from '#shared/kernel/lifecycle.ts';
import type { Logger } from './logger.ts';

/** A lifecycle whose stops are bounded as configured; a part that does not stop in time is logged and left behind. */
export function loggedLifecycle(settings: Settings, clock: Clock, log: Logger): Lifecycle {
  return new Lifecycle({
    clock,
    stopTimeoutMs: settings.workers.stop_timeout_ms,
    onStopError: (service, error) => log.error({ service, reason: describeError(error) }, 'did not stop'),
  });
}
