import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { Child, Children } from './children.ts';

/** Sluice as processes: one ingress and any number of workers on one generated configuration. */
export class Product {
  readonly #children: Children;
  readonly #configFile: string;
  readonly #redisUrl: string;
  #ingress: Child | undefined;
  #workers: Child[] = [];
  #started = 0;

  private constructor(children: Children, configFile: string, redisUrl: string) {
    this.#children = children;
    this.#configFile = configFile;
    this.#redisUrl = redisUrl;
  }

  /** Starts the ingress alone. */
  static async start(
    children: Children,
    configuration: Record<string, unknown>,
    redisUrl: string,
  ): Promise<Product> {
    const product = new Product(children, join(await children.folder(), 'sluice.yaml'), redisUrl);
    await product.configure(configuration);
    product.#ingress = await product.#service('ingress', 'ingress');
    return product;
  }

  /** Base URL of the public API. */
  get url(): string {
    const { port } = JSON.parse(this.#ingress!.readyLine) as { port: number };
    return `http://127.0.0.1:${port}`;
  }

  get ingressPid(): number {
    return this.#ingress!.pid;
  }

  get workerPids(): number[] {
    return this.#workers.map(({ pid }) => pid);
  }

  /** Replaces the configuration file, as a deployment does; running processes follow it by themselves. */
  async configure(configuration: Record<string, unknown>): Promise<void> {
    await writeFile(`${this.#configFile}.new`, stringify(configuration));
    await rename(`${this.#configFile}.new`, this.#configFile);
  }

  async addWorkers(count: number): Promise<void> {
    const added = Array.from({ length: count }, () => this.#service('worker', `worker ${++this.#started}`));
    this.#workers.push(...(await Promise.all(added)));
  }

  /** kill -9 of one worker. */
  async killWorker(): Promise<void> {
    const worker = this.#workers.shift();
    worker?.signal('SIGKILL');
    await worker?.ended;
  }

  /** Ends all processes at once, with whatever they have in hand. */
  async kill(): Promise<void> {
    const all = [...this.#workers, ...(this.#ingress ? [this.#ingress] : [])];
    for (const child of all) child.signal('SIGKILL');
    await Promise.all(all.map((child) => child.ended));
  }

  #service(service: 'ingress' | 'worker', name: string): Promise<Child> {
    return this.#children.node({
      name,
      args: [`services/${service}/main.ts`],
      env: { SLUICE_CONFIG: this.#configFile, REDIS_URL: this.#redisUrl },
      ready: new RegExp(`"${service} ready"`),
    });
  }
}
