import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { CliError, exitCodes } from '../cli-error.ts';
import type { SluiceClient } from '../sluice-client.ts';

const newline = 0x0a;

/** Bytes of a file; 0 when it is not there. */
export const sizeOf = async (file: string) => (await stat(file).catch(() => undefined))?.size ?? 0;

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
  const response = await client.ask(`/v1/batches/${batchId}/output?stream=${stream}&after=${size}`);
  const available = Number(response.headers.get('x-sluice-output-after'));
  if (available <= size) await response.body?.cancel();
  if (available < size)
    throw new CliError(
      exitCodes.failed,
      `${file} is longer than what the batch has: it was changed meanwhile.`,
    );
  if (available <= size || !response.body) return;
  const handle = await open(file, 'a');
  try {
    for await (const chunk of response.body) await handle.appendFile(chunk);
    await handle.datasync();
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    // The connection was cut; what came is kept, and the rest is asked for again.
    throw new CliError(exitCodes.unreachable, 'The connection to Sluice was cut.', { code: 'unreachable' });
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
