import { createWriteStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { stringify } from 'yaml';

export const key = 'sk-sl-load';
const model = 'gpt-5-mini';
const gigabyte = 1_073_741_824;

/** A configuration without ceilings: what is measured is Sluice. */
export async function batchConfiguration(
  folder: string,
  providerUrl: string,
  lines: number,
): Promise<string> {
  const path = join(folder, 'sluice.yaml');
  const configuration = {
    http: { host: '127.0.0.1', port: 0 },
    operations: { port: 0 },
    redis: { data_dir: folder },
    files: { lines_max: lines, max_bytes: gigabyte },
    providers: {
      openai: {
        dialect: 'openai',
        base_url: `${providerUrl}/v1`,
        credentials: [{ id: 'main', api_key: 'sk-simulator' }],
        pools: { chat: { models: [model], concurrency: 64 } },
      },
    },
    customers: { load: { keys: [{ id: 'load', key }] } },
  };
  await writeFile(path, stringify(configuration));
  return path;
}

/** An input file of so many lines of about that size. */
export async function writeInput(path: string, lines: number, lineBytes: number): Promise<void> {
  const words = 'the quick brown fox jumps over the lazy dog ';
  const content = words.repeat(Math.ceil(lineBytes / words.length)).slice(0, Math.max(1, lineBytes - 200));
  const all = function* () {
    for (let at = 0; at < lines; at++) {
      const body = { model, messages: [{ role: 'user', content: `${at} ${content}` }] };
      const line = { custom_id: `line-${at}`, method: 'POST', url: '/v1/chat/completions', body };
      yield `${JSON.stringify(line)}\n`;
    }
  };
  await pipeline(Readable.from(all()), createWriteStream(path));
}
