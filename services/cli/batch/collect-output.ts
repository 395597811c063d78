import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { CliError, exitCodes } from '../cli-error.ts';
import type { SluiceClient } from '../sluice-client.ts';

const newline = 0x0a;

/** Bytes of a file; 0 when it is not there. */
export const sizeOf = async (file: string) => (await stat(file).catch(() => undefined))?.size ?? 0;

/** What a batch has in its output or errors by now, from that byte on. */
export async function outputFrom(
  client: SluiceClient,
  batchId: string,
  stream: 'output' | 'errors',
  after: number,
): Promise<{ available: number; body: ReadableStream<Uint8Array> }> {
  const path = `/v1/batches/${encodeURIComponent(batchId)}/output?stream=${stream}&after=${after}`;
  const { headers, body } = await client.ask(path);
  return { available: Number(headers.get('x-sluice-output-after')), body: body! };
}

/** The bytes of an answer. @throws CliError when the connection is cut before its end */
export async function* whole(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  try {
    yield* body;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new CliError(exitCodes.unreachable, 'The connection to Sluice was cut.', { code: 'unreachable' });
  }
}

/**
 * Appends what is new of a batch's output or errors to a file. The file holds the first bytes of what Sluice has, so its
 * size says where to go on, also after a crash in the middle of a line.
 */
export async function collectOutput(
  client: SluiceClient,
  batchId: string,
  stream: 'output' | 'errors',
  file: string,
): Promise<void> {
  const size = await sizeOf(file);
  const { available, body } = await outputFrom(client, batchId, stream, size);
  if (available <= size) await body.cancel();
  if (available < size)
    throw new CliError(
      exitCodes.failed,
      `${file} is longer than what the batch has: it was changed meanwhile.`,
    );
  if (available <= size) return;
  const handle = await open(file, 'a');
  try {
    // Should the connection be cut, what came is kept, and the rest is asked for again.
    for await (const chunk of whole(body)) await handle.appendFile(chunk);
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

export async function countLines(file: string): Promise<number> {
  if ((await sizeOf(file)) === 0) return 0;
  let lines = 0;
  for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>)
    for (let at = chunk.indexOf(newline); at !== -1; at = chunk.indexOf(newline, at + 1)) lines++;
  return lines;
}
