import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** Stands between a process and Redis, and can stop passing on what the process asks; nothing is ever sent late. */
export class DeafProxy {
  readonly url: string;
  deaf = false;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
    this.url = `redis://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(targetPort: number): Promise<DeafProxy> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const proxy = new DeafProxy(server);
    server.on('connection', (client: Socket) => proxy.#join(client, connect(targetPort, '127.0.0.1')));
    return proxy;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #join(client: Socket, target: Socket): void {
    client.on('data', (bytes) => this.deaf || target.write(bytes));
    target.on('data', (bytes) => client.write(bytes));
    for (const [socket, other] of [
      [client, target],
      [target, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
  }
}
