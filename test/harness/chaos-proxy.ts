import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { Random } from '#shared/kernel/random.ts';

/**
 * A TCP proxy in front of Redis that loses replies: the command has been executed, but its sender never learns, and
 * its connection breaks. Lossless until `loseReplies` is called.
 */
export class ChaosProxy {
  readonly url: string;
  /** Pieces lost so far. */
  lost = 0;
  #piecesBetween = Number.POSITIVE_INFINITY;
  #piecesToLoss = Number.POSITIVE_INFINITY;
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

  /**
   * From now on one piece of replies in `piecesBetween` is lost on average, with all that is in flight on its
   * connection. The distance is drawn from 1 to twice the average, so that a loss is certain and not only likely.
   */
  loseReplies(piecesBetween: number): void {
    this.#piecesBetween = piecesBetween;
    this.#piecesToLoss = this.#drawDistance();
  }

  #drawDistance(): number {
    return 1 + Math.floor(this.#random.next() * (2 * this.#piecesBetween - 1));
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
      this.#piecesToLoss--;
      if (this.#piecesToLoss > 0) return void client.write(replies);
      this.#piecesToLoss = this.#drawDistance();
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
