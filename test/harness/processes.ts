import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { executablePath } from '#config/load.ts';
import { type SettingsOverrides, testAdminKey, testConfiguration, testSecretKey } from './test-settings.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** A process that is ready: the port of its API, if it has one, and the one that tells its operators. */
export type StartedProcess = ServiceProcess & { port: number; operationsPort: number };

/** A service of Sluice as a real process. */
export class ServiceProcess {
  readonly child: ChildProcess;
  readonly #lines: string[] = [];

  private constructor(child: ChildProcess) {
    this.child = child;
    for (const stream of [child.stdout!, child.stderr!]) {
      createInterface({ input: stream }).on('line', (line) => this.#lines.push(line));
    }
  }

  /** Resolves when the process says that it is ready; `port` is that of its API. */
  static async start(
    service: 'ingress' | 'worker' | 'webhook' | 'admin',
    configFile: string,
    redisUrl: string,
  ): Promise<StartedProcess> {
    const child = spawn(process.execPath, ['config/check-node.mjs', `services/${service}/main.ts`], {
      cwd: root,
      env: {
        SLUICE_CONFIG: configFile,
        REDIS_URL: redisUrl,
        SLUICE_LOG_LEVEL: 'info',
        SLUICE_SECRET_KEY: testSecretKey,
        SLUICE_ADMIN_KEY: testAdminKey,
        PATH: executablePath(),
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const started = new ServiceProcess(child);
    const ready = await started.#readyLine(`${service} ready`);
    const portOf = (name: string) => Number(ready[name] ?? 0);
    return Object.assign(started, { port: portOf('port'), operationsPort: portOf('operationsPort') });
  }

  #readyLine(message: string): Promise<Record<string, unknown>> {
    return new Promise((resolve, reject) => {
      this.child.once('exit', (code) =>
        reject(new Error(`ended with ${code} before it was ready:\n${this.#lines.join('\n')}`)),
      );
      createInterface({ input: this.child.stdout! }).on('line', (line) => {
        if (!line.includes(`"${message}"`)) return;
        resolve(JSON.parse(line) as Record<string, unknown>);
      });
    });
  }

  get output(): string {
    return this.#lines.join('\n');
  }

  /** Sends a signal and waits for the end; the exit code, or null when the signal ended it. */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return this.child.exitCode;
    const ended = once(this.child, 'exit');
    this.child.kill(signal);
    const [code] = (await ended) as [number | null];
    return code;
  }
}

export interface ConfigFile {
  path: string;
  /** Replaces the file as editors and deployments do: a new file takes its name. */
  replace(over: SettingsOverrides): Promise<void>;
  /** Where the processes keep their data unless told otherwise. */
  folder: string;
  remove(): Promise<void>;
}

/** Writes a test configuration for separate processes. */
export async function writeConfiguration(
  simulatorUrl: string,
  over: SettingsOverrides = {},
): Promise<ConfigFile> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-config-'));
  const path = join(folder, 'sluice.yaml');
  const replace = async (changed: SettingsOverrides) => {
    const settings = testConfiguration(simulatorUrl, {
      telemetry: { log_level: 'info' },
      ...changed,
      redis: { data_dir: folder, ...changed.redis },
    });
    await writeFile(`${path}.new`, stringify(settings));
    await rename(`${path}.new`, path);
  };
  await replace(over);
  return { path, folder, replace, remove: () => rm(folder, { recursive: true, force: true }) };
}
