import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Service } from '#shared/kernel/lifecycle.ts';
import type { Metrics } from './metrics.ts';

export interface OperationsServerOptions {
  host: string;
  port: number;
  metrics: Metrics;
  /** Rejects when the process cannot do its work at present. */
  probe: () => Promise<void>;
  /** What else it tells, as JSON, by path. */
  reports?: Record<string, () => Promise<unknown>>;
}

/** /healthz (alive), /readyz (can work), /metrics and reports of one process, on a port of their own. */
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
    const { metrics, probe, reports = {} } = this.#options;
    if (path === '/metrics') {
      response.setHeader('content-type', metrics.registry.contentType);
      response.end(await metrics.registry.metrics());
    } else if (path === '/healthz') {
      response.end('ok\n');
    } else if (path === '/readyz') {
      const ready = await probe().then(
        () => true,
        () => false,
      );
      response.statusCode = ready ? 200 : 503;
      response.end(ready ? 'ready\n' : 'not ready\n');
    } else if (Object.hasOwn(reports, path)) {
      await sendReport(reports[path]!, response);
    } else {
      response.statusCode = 404;
      response.end('not found\n');
    }
  }
}

async function sendReport(report: () => Promise<unknown>, response: ServerResponse): Promise<void> {
  response.setHeader('content-type', 'application/json');
  try {
    response.end(`${JSON.stringify(await report())}\n`);
  } catch {
    response.statusCode = 503;
    response.end(
      '{"error":{"code":"store_unavailable","message":"The job store cannot be reached right now."}}\n',
    );
  }
}
