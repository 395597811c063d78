import { stat } from 'node:fs/promises';
import { type Reread, takeLiveGroups } from '#config/live-settings.ts';
import { configurationFile } from '#config/load.ts';
import type { Settings } from '#config/schema.ts';
import { type Clock, systemClock } from '#shared/kernel/clock.ts';
import { describeError } from '#shared/kernel/errors.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import type { LiveValue } from '#shared/kernel/live-value.ts';
import type { Logger } from '#shared/telemetry/logger.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';

export interface SettingsWatcherOptions {
  live: LiveValue<Settings>;
  /** Reads the whole configuration again. @throws when it cannot be used */
  read: () => Settings | Promise<Settings>;
  log: Logger;
  metrics: Metrics;
  clock?: Clock;
  file?: string;
}

/**
 * Reads the configuration again when its file has changed, or on SIGHUP, and replaces the running settings. A
 * configuration that cannot be used is reported, and what runs stays.
 *
 * The file is looked at, not watched: its name may come to stand for another file (a rename, a ConfigMap's symbolic
 * links), and file events do not reach every mount.
 *
 * unchanged ──another file or time──▶ changing ──the same for settle_ms──▶ read ──▶ unchanged
 */
export class SettingsWatcher implements Service {
  readonly name = 'settings watcher';
  readonly #options: SettingsWatcherOptions;
  readonly #clock: Clock;
  readonly #file: string;
  readonly #stopped = new AbortController();
  #asked = false;
  #loop: Promise<void> | undefined;
  readonly #onSignal = () => {
    this.#asked = true;
  };

  constructor(options: SettingsWatcherOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#file = options.file ?? configurationFile();
  }

  async start(): Promise<void> {
    this.#options.metrics.configReloadOk.set(1);
    // A terminal that is closed sends the same signal, and then the process should end.
    if (!process.stdout.isTTY) process.on('SIGHUP', this.#onSignal);
    this.#loop = this.#watch();
  }

  async stop(): Promise<void> {
    process.off('SIGHUP', this.#onSignal);
    this.#stopped.abort();
    await this.#loop;
  }

  async #watch(): Promise<void> {
    const { poll_ms } = this.#options.live.current.reload;
    // Nothing is known at first: the file may have changed since this process read it to start with.
    let known = '';
    while (!this.#stopped.signal.aborted) {
      await this.#clock.sleep(poll_ms, this.#stopped.signal);
      const seen = await this.#look();
      if (seen === known && !this.#asked) continue;
      this.#asked = false;
      known = await this.#settled(seen);
      if (!this.#stopped.signal.aborted) await this.#reload();
    }
  }

  /** Waits until whoever writes the file is done; one that is written for ever is read at last all the same. */
  async #settled(first: string): Promise<string> {
    const { poll_ms, settle_ms } = this.#options.live.current.reload;
    let seen = first;
    for (let waitedMs = 0; waitedMs < poll_ms; waitedMs += settle_ms) {
      await this.#clock.sleep(settle_ms, this.#stopped.signal);
      const again = await this.#look();
      if (again === seen) break;
      seen = again;
    }
    return seen;
  }

  /** Which file the name stands for, and when it was written; a file that is away is a state too. */
  async #look(): Promise<string> {
    const found = await stat(this.#file, { bigint: true }).catch(() => undefined);
    return found ? `${found.dev} ${found.ino} ${found.size} ${found.mtimeNs}` : 'away';
  }

  async #reload(): Promise<void> {
    const { live, log, metrics } = this.#options;
    const reread = await this.#read();
    metrics.configReloadOk.set(reread ? 1 : 0);
    if (!reread) return metrics.configReloads.inc({ result: 'refused' });
    const { settings, changed, needsRestart } = reread;
    metrics.configPendingRestart.set(needsRestart.length);
    if (needsRestart.length > 0)
      log.warn({ settings: needsRestart }, 'these settings have changed and need a restart');
    try {
      if (changed) live.replace(settings);
    } catch (error) {
      metrics.backgroundErrors.inc({ part: 'settings' });
      log.error({ reason: describeError(error) }, 'a part of this process could not take the new settings');
    }
    metrics.configReloads.inc({ result: changed ? 'applied' : 'unchanged' });
    log.info({ changed }, 'configuration read again');
  }

  async #read(): Promise<Reread | undefined> {
    const { live, read, log } = this.#options;
    try {
      return takeLiveGroups(live.current, await read());
    } catch (error) {
      log.error(
        { reason: describeError(error) },
        'the changed configuration cannot be used; what runs stays',
      );
      return undefined;
    }
  }
}
