import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';
import { usageError } from '../cli-error.ts';

export interface Input {
  /** Where its bytes are. */
  path: string;
  sha256: string;
  /** Removes what was only made for this run. */
  discard: () => Promise<void>;
}

/** The input file; the standard input (`-`) is written to a file beside the output first, so that it can be sent again. */
export async function readInput(path: string, outputFile: string): Promise<Input> {
  if (path !== '-') return { path, sha256: await hashOf(path), discard: async () => undefined };
  const copy = `${outputFile}.sluice-input`;
  await pipeline(process.stdin, createWriteStream(copy, { mode: 0o600 }));
  return { path: copy, sha256: await hashOf(copy), discard: () => rm(copy, { force: true }) };
}

/** @throws CliError when it cannot be read */
export async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    await pipeline(createReadStream(path), hash);
  } catch (error) {
    throw usageError(`The input ${path} cannot be read: ${(error as Error).message}.`);
  }
  return hash.digest('hex');
}

const firstLine = z.object({ custom_id: z.string(), url: z.string() });

/** The endpoint that the first line of the input names. @throws CliError when it is no line of a batch */
export async function endpointOf(path: string): Promise<string> {
  const bytes = createReadStream(path);
  try {
    for await (const line of createInterface({ input: bytes, crlfDelay: Number.POSITIVE_INFINITY })) {
      if (line.trim() === '') continue;
      const parsed = firstLine.safeParse(parseJson(line));
      if (parsed.success) return parsed.data.url;
      break;
    }
  } finally {
    bytes.destroy();
  }
  throw usageError(
    'The input is not a batch: its first line has no custom_id and url.',
    'A line is {"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{…}}.',
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
