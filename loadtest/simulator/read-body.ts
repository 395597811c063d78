import type { IncomingMessage } from 'node:http';

/** Hands over the whole body, or undefined when it is longer than `maxBytes`; nothing if the client gives up. */
export function readBody(
  request: IncomingMessage,
  maxBytes: number,
  done: (body: Buffer | undefined) => void,
): void {
  const chunks: Buffer[] = [];
  let length = 0;
  const onData = (chunk: Buffer) => {
    length += chunk.length;
    if (length <= maxBytes) {
      chunks.push(chunk);
      return;
    }
    request.off('data', onData);
    request.off('end', onEnd);
    done(undefined);
  };
  const onEnd = () => done(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, length));
  request.on('data', onData);
  request.on('end', onEnd);
  request.on('error', () => request.off('end', onEnd));
}
