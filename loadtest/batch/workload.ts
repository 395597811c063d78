import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

export const key = 'sk-sl-load';
export const tenant = 'load';
const model = 'gpt-5-mini';
const gigabyte = 1_073_741_824;

/** One line in so many is refused by the provider, so that there is something in the error file. */
const refusedEvery = 500;
const refusal = '[[sim:{"status":400}]]';

/** The name of a line of the input. */
export const customId = (at: number) => `line-${at}`;
/** Lines that the provider refuses. */
export const refusedOf = (lines: number) => Math.floor(lines / refusedEvery);

/** A configuration without ceilings: what is measured is Sluice. All else is as it is preset. */
export const batchConfiguration = (of: {
  folder: string;
  providerUrl: string;
  port: number;
  lines: number;
}) => ({
  http: { host: '127.0.0.1', port: of.port },
  operations: { port: 0 },
  redis: { data_dir: of.folder },
  files: { lines_max: of.lines, max_bytes: gigabyte },
  providers: {
    openai: {
      dialect: 'openai',
      base_url: `${of.providerUrl}/v1`,
      credentials: [{ id: 'main', api_key: 'sk-simulator' }],
      pools: { chat: { models: [model], concurrency: 64 } },
    },
  },
  customers: { [tenant]: { keys: [{ id: 'load', key }] } },
});

/** An input file of so many lines of about that size. */
export async function writeInput(path: string, lines: number, lineBytes: number): Promise<void> {
  const words = 'the quick brown fox jumps over the lazy dog ';
  const content = words.repeat(Math.ceil(lineBytes / words.length)).slice(0, Math.max(1, lineBytes - 200));
  const all = function* () {
    for (let at = 0; at < lines; at++) {
      const isRefused = at % refusedEvery === refusedEvery - 1;
      const text = `${at} ${content}${isRefused ? refusal : ''}`;
      const body = { model, messages: [{ role: 'user', content: text }] };
      const line = { custom_id: customId(at), method: 'POST', url: '/v1/chat/completions', body };
      yield `${JSON.stringify(line)}\n`;
    }
  };
  await pipeline(Readable.from(all()), createWriteStream(path));
}
