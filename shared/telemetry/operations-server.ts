import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Service } from '#shared/kernel/lifecycle.ts';
import type { Metrics } from './metrics.ts';

/** What every process tells those who run it, without a key. */
export interface OperationsOptions {
  metrics: Metrics;
  /** Rejects when the process cannot do its work at present. */
  probe: () => Promise<void>;
  /** What else it tells, as JSON, by path. */
  reports?: Record<string, () => Promise<unknown>>;
}

export interface OperationsServerOptions extends OperationsOptions {
  host: string;
  port: number;
}

export interface OperationsAnswer {
  status: number;
  type: string;
  body: string;
}

const text = (status: number, body: string): OperationsAnswer => ({ status, type: 'text/plain', body });

/** The answer of /healthz (alive), /readyz (can work), /metrics and the reports; undefined for any other path. */
export async function operationsAnswer(
  { metrics, probe, reports = {} }: OperationsOptions,
  path: string,
): Promise<OperationsAnswer | undefined> {
  if (path === '/metrics') {
    const { registry } = metrics;
    return { status: 200, type: registry.contentType, body: await registry.metrics() };
  }
  if (path === '/healthz') return text(200, 'ok\n');
  if (path === '/readyz')
    return probe().then(
      () => text(200, 'ready\n'),
      () => text(503, 'not ready\n'),
    );
  return Object.hasOwn(reports, path) ? reportAnswer(reports[path]!) : undefined;
}

async function reportAnswer(report: () => Promise<unknown>): Promise<OperationsAnswer> {
  const type = 'application/json';
  try {
    return { status: 200, type, body: `${JSON.stringify(await report())}\n` };
  } catch {
    const error = { code: 'store_unavailable', message: 'The job store cannot be reached right now.' };
    return { status: 503, type, body: `${JSON.stringify({ error })}\n` };
  }
}

/** /healthz, /readyz, /metrics and reports of one process, on a port of their own. */
export class OperationsServer implements Service {
  readonly name = 'operations server';
  readonly #options: OperationsServerOptions;
  readonly #server: Server;

  constructor(options: OperationsServerOptions) {
    this.#options = options;
    this.#server = createServer((request, response) => {
      this.#answer(request.url?.split('?')[0] ?? '/', response).catch(() => response.destroy());
    });
    this.#server.requestTimeout = 10_000;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#options.port, this.#options.host, resolve);
    });
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(path: string, response: ServerResponse): Promise<void> {
    const { status, type, body } = (await operationsAnswer(this.#options, path)) ?? text(404, 'not found\n');
    response.writeHead(status, { 'content-type': type });
    response.end(body);
  }
}
