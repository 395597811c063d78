import type { Socket } from 'node:net';
import type { Redis } from 'ioredis';
import { atEndOfTurn } from '../kernel/end-of-turn.ts';

/**
 * Sends all commands of one turn of the event loop in one write. ioredis writes each command by itself, and a system call
 * per command is the largest cost of a busy process: callers and providers answer over many sockets, each of which is
 * handled by itself, so waiting for a tick would not gather what they cause.
 */
export function corkWrites(connection: Redis): void {
  connection.on('connect', () => {
    const stream = (connection as unknown as { stream: Socket }).stream;
    const write = stream.write.bind(stream) as (...args: unknown[]) => boolean;
    let corked = false;
    const uncork = () => {
      corked = false;
      stream.uncork();
    };
    stream.write = ((...args: unknown[]) => {
      if (!corked) {
        corked = true;
        stream.cork();
        atEndOfTurn(uncork);
      }
      return write(...args);
    }) as typeof stream.write;
  });
}
