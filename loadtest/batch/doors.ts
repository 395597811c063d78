import { createReadStream, createWriteStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type OpenAI from 'openai';
import type { Child, Children } from '../cluster/children.ts';
import { key } from './workload.ts';

/** Where the results of a batch are in the end. */
export interface ResultFiles {
  output: string;
  errors: string;
}

/** A way to run a batch: what its user does. */
export interface Door {
  /** Uploads the input and asks for the batch; its id. */
  begin: (input: string) => Promise<string>;
  /** Brings home all results, when the batch has ended or will. */
  end: (files: ResultFiles) => Promise<void>;
  /** The process of its user. */
  pid: () => number;
}

async function download(openai: OpenAI, fileId: string | undefined, path: string): Promise<void> {
  if (fileId === undefined) return writeFile(path, '');
  const { body } = await openai.files.content(fileId);
  await pipeline(Readable.fromWeb(body as never), createWriteStream(path));
}

/** The official package, which sends the file and fetches the results from here. */
export function sdkDoor(openai: OpenAI): Door {
  let batchId = '';
  return {
    begin: async (input) => {
      const file = await openai.files.create({ file: createReadStream(input), purpose: 'batch' });
      const batch = await openai.batches.create({
        input_file_id: file.id,
        endpoint: '/v1/chat/completions',
        completion_window: '24h',
      });
      batchId = batch.id;
      return batchId;
    },
    end: async ({ output, errors }) => {
      const { output_file_id, error_file_id } = await openai.batches.retrieve(batchId);
      await download(openai, output_file_id, output);
      await download(openai, error_file_id, errors);
    },
    pid: () => process.pid,
  };
}

/** `sluice batch run` as a process, which is left to itself until it ends. */
export function cliDoor(children: Children, ingressUrl: string, files: ResultFiles): Door {
  let command: Child | undefined;
  return {
    begin: async (input) => {
      const { output, errors } = files;
      command = await children.node({
        name: 'sluice batch run',
        args: ['services/cli/main.ts', 'batch', 'run', input, '-o', output, '--errors', errors],
        env: { SLUICE_URL: ingressUrl, SLUICE_KEY: key },
        ready: /^Batch batch_\w+\.$/,
      });
      return /batch_\w+/.exec(command.readyLine)![0];
    },
    end: async () => {
      const code = await command!.ended;
      await writeFile(files.errors, '', { flag: 'a' });
      // 1: lines failed, as some of the workload do.
      if (code !== 0 && code !== 1) throw new Error(`sluice ended with ${code}:\n${command!.output()}`);
    },
    pid: () => command?.pid ?? 0,
  };
}

export const resultFilesIn = (folder: string): ResultFiles => ({
  output: join(folder, 'output.jsonl'),
  errors: join(folder, 'errors.jsonl'),
});
