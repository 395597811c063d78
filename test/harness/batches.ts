import OpenAI, { toFile } from 'openai';
import { expect } from 'vitest';
import { testKey } from './test-settings.ts';
import { until } from './until.ts';

export type Batch = OpenAI.Batches.Batch & { estimated_completion: number | null };

export const openaiAt = (url: string, apiKey = testKey, maxRetries = 0) =>
  new OpenAI({ apiKey, maxRetries, baseURL: `${url}/v1` });

export interface InputLine {
  custom_id: string;
  method: string;
  url: string;
  body: Record<string, unknown>;
}

export const chatLine = (customId: string, body: Record<string, unknown>): InputLine => ({
  custom_id: customId,
  method: 'POST',
  url: '/v1/chat/completions',
  body,
});

export async function uploadText(openai: OpenAI, text: string | Buffer): Promise<string> {
  const file = await toFile(Buffer.from(text), 'in.jsonl');
  return (await openai.files.create({ file, purpose: 'batch' })).id;
}

export const uploadLines = (openai: OpenAI, lines: readonly InputLine[]) =>
  uploadText(openai, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));

export async function startBatch(
  openai: OpenAI,
  inputFileId: string,
  more: Record<string, unknown> = {},
): Promise<Batch> {
  return (await openai.batches.create({
    input_file_id: inputFileId,
    endpoint: '/v1/chat/completions',
    completion_window: '24h',
    ...more,
  })) as Batch;
}

const ends = ['completed', 'failed', 'expired', 'cancelled'];

/** The batch once it has ended; an API that is away meanwhile is asked again. */
export function untilEnded(openai: OpenAI, id: string, timeoutMs = 60_000): Promise<Batch> {
  return until(
    'the batch has ended',
    async () => {
      const batch = (await openai.batches.retrieve(id).catch(() => undefined)) as Batch | undefined;
      return batch && ends.includes(batch.status) ? batch : undefined;
    },
    timeoutMs,
  );
}

export interface OutputLine {
  id: string;
  custom_id: string;
  response: {
    status_code: number;
    request_id: string;
    body: { choices: unknown[]; usage: { prompt_tokens: number; completion_tokens: number } };
  } | null;
  error: { code: string; message: string } | null;
}

export const parseLines = (text: string): OutputLine[] =>
  text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as OutputLine);

export async function linesOf(openai: OpenAI, fileId: string | undefined): Promise<OutputLine[]> {
  return fileId === undefined ? [] : parseLines(await (await openai.files.content(fileId)).text());
}

/** Output and errors of an ended batch; fails unless each custom id is in exactly one of them, once. */
export async function resultsOf(
  openai: OpenAI,
  batch: Batch,
  customIds: readonly string[],
): Promise<{ output: OutputLine[]; errors: OutputLine[] }> {
  const output = await linesOf(openai, batch.output_file_id);
  const errors = await linesOf(openai, batch.error_file_id);
  const seen = [...output, ...errors].map(({ custom_id }) => custom_id);
  expect(seen.toSorted()).toEqual(customIds.toSorted());
  expect(batch.request_counts).toEqual({
    total: customIds.length,
    completed: output.length,
    failed: errors.length,
  });
  return { output, errors };
}
