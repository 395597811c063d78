import type { Socket } from 'node:net';
import type { Redis } from 'ioredis';

/**
 * Sends all commands of one event-loop tick in one write. ioredis writes each command by itself, and a system call
 * per command is the largest cost of a busy process (see "Awaited replies" in ARCHITECTURE.md).
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
        process.nextTick(uncork);
      }
      return write(...args);
    }) as typeof stream.write;
  });
}
