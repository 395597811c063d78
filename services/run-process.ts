import { flushCompileCache } from 'node:module';
import type { Settings } from '#config/schema.ts';
import { systemClock } from '#shared/kernel/clock.ts';
import { describeError } from '#shared/kernel/errors.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import { loggedLifecycle } from '#shared/telemetry/logged-lifecycle.ts';
import type { Logger } from '#shared/telemetry/logger.ts';

/** Starts a service as this process: stops it on SIGTERM or SIGINT, and ends with a code that says how it went. */
export async function runProcess(service: Service, log: Logger): Promise<void> {
  let stopping: Promise<void> | undefined;
  const stop = (reason: string) => {
    stopping ??= service.stop().finally(() => process.exit(process.exitCode ?? 0));
    log.info({ reason }, 'stopping');
    return stopping;
  };
  process.on('SIGTERM', () => void stop('SIGTERM'));
  process.on('SIGINT', () => void stop('SIGINT'));
  process.on('uncaughtException', (error) => {
    log.fatal({ reason: describeError(error), stack: error.stack }, 'uncaught exception');
    process.exitCode = 1;
    void stop('uncaught exception');
  });
  try {
    await service.start();
    // Node keeps it when a process ends; many a server is killed.
    flushCompileCache();
  } catch (error) {
    console.error(describeError(error));
    process.exitCode = 1;
    await stop('could not start');
  }
}

/** One service out of several, started in order and stopped in reverse; `onReady` runs when all are up. */
export function composeProcess(
  settings: Settings,
  log: Logger,
  services: readonly (Service | undefined)[],
  onReady: () => void,
): Service {
  const lifecycle = loggedLifecycle(settings, systemClock, log);
  return {
    name: 'process',
    async start() {
      await lifecycle.start(services.filter((service) => service !== undefined));
      onReady();
    },
    stop: () => lifecycle.stop(),
  };
}
