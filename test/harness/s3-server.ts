import type { Server } from 'node:http';
import S3rver from 's3rver';
import { freePort } from '../../loadtest/cluster/free-port.ts';

export const bucket = 'blobs';
const key = 'S3RVER';

/** A server that speaks S3, which can be away for a while and keeps what it has. */
export class S3Server {
  readonly #port: number;
  readonly #directory: string;
  #server: S3rver | undefined;

  private constructor(port: number, directory: string) {
    this.#port = port;
    this.#directory = directory;
  }

  static async start(directory: string): Promise<S3Server> {
    const server = new S3Server(await freePort(), directory);
    await server.start();
    return server;
  }

  /** Settings of a blob store that lies here. */
  get settings() {
    const endpoint = `http://127.0.0.1:${this.#port}`;
    const credentials = { access_key_id: key, secret_access_key: key };
    return { store: 's3' as const, s3: { bucket, endpoint, path_style: true, ...credentials } };
  }

  async start(): Promise<void> {
    this.#server = new S3rver({
      port: this.#port,
      address: '127.0.0.1',
      silent: true,
      directory: this.#directory,
      configureBuckets: [{ name: bucket, configs: [] }],
    });
    await this.#server.run();
  }

  /** Cuts every connection and takes no more. */
  async stop(): Promise<void> {
    const server = this.#server as unknown as { httpServer: Server; close(): Promise<void> } | undefined;
    this.#server = undefined;
    const closed = server?.close();
    server?.httpServer.closeAllConnections();
    await closed;
  }
}
