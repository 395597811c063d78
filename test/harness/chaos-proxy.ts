import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { Random } from '#shared/kernel/random.ts';

/**
 * A TCP proxy in front of Redis that loses replies: the command has been executed, but its sender never learns, and
 * its connection breaks. Lossless until `lossOfReplies` is set.
 */
export class ChaosProxy {
  readonly url: string;
  /** Chance that a piece of replies is lost, with all that is in flight on its connection. */
  lossOfReplies = 0;
  /** Pieces lost so far. */
  lost = 0;
  readonly #server: Server;
  readonly #random: Random;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server, random: Random) {
    this.#server = server;
    this.#random = random;
    this.url = `redis://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(targetPort: number, random: Random): Promise<ChaosProxy> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const proxy = new ChaosProxy(server, random);
    server.on('connection', (client) => proxy.#join(client, connect(targetPort, '127.0.0.1')));
    return proxy;
  }

  #join(client: Socket, redis: Socket): void {
    const cut = () => {
      client.destroy();
      redis.destroy();
    };
    for (const socket of [client, redis]) {
      this.#sockets.add(socket.setNoDelay(true));
      socket.on('error', cut).on('close', () => {
        this.#sockets.delete(socket);
        cut();
      });
    }
    client.on('data', (commands) => redis.write(commands));
    redis.on('data', (replies) => {
      if (this.#random.next() >= this.lossOfReplies) return void client.write(replies);
      this.lost++;
      cut();
    });
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
