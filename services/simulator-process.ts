import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Settings } from '#config/schema.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';

const entry = fileURLToPath(new URL('../loadtest/simulator/main.ts', import.meta.url));
/** The key the simulator is called with; it accepts any. */
const simulatorKey = 'sk-simulator';

/** The provider simulator as a child process that ends with this one. */
export class SimulatorProcess implements Service {
  readonly name = 'provider simulator';
  readonly #settings: Settings['simulator'];
  #child: ChildProcess | undefined;
  #url: string | undefined;

  constructor(settings: Settings['simulator']) {
    this.#settings = settings;
  }

  /** Where it listens, once started. */
  get url(): string {
    return this.#url!;
  }

  async start(): Promise<void> {
    const { port, first_byte_ms, per_token_ms } = this.#settings;
    const latency = ['--first-byte-ms', String(first_byte_ms), '--per-token-ms', String(per_token_ms)];
    const args = [entry, '--port', String(port), ...latency, '--exit-with-parent'];
    // Its standard input is a pipe of ours: it closes when we end, however we end.
    this.#child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#url = await this.#readUrl(this.#child);
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await ended;
  }

  #readUrl(child: ChildProcess): Promise<string> {
    return new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code) =>
        reject(
          new Error(`The provider simulator ended with code ${code}; is port ${this.#settings.port} free?`),
        ),
      );
      createInterface({ input: child.stdout! }).on('line', (line) => {
        const [url] = /http:\/\/\S+/.exec(line) ?? [];
        if (url) resolve(url);
      });
    });
  }
}

/** The same settings with every provider pointing at the simulator. */
export function routeToSimulator(settings: Settings, url: string): Settings {
  const providers = Object.entries(settings.providers).map(([id, provider]) => {
    const { version_path: _own, ...rest } = provider;
    const credentials = [{ id: 'simulator', api_key: simulatorKey }];
    return [id, { ...rest, base_url: rest.dialect === 'openai' ? `${url}/v1` : url, credentials }];
  });
  return { ...settings, providers: Object.fromEntries(providers) as Settings['providers'] };
}
