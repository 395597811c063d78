import type { BatchUsage } from '#shared/batches/batch-record.ts';
import type { PieceStream } from '#shared/batches/file-store.ts';
import type { OutcomeHead } from '#shared/contracts/outcome.ts';

/** Why lines end that were not run. */
export const unrunMessages = {
  batch_expired: 'This request could not be executed before the completion window expired.',
  batch_cancelled: 'This request was not executed because the batch was cancelled.',
  tenant_removed: 'This request was not executed because its tenant was removed from the configuration.',
} as const;
export type UnrunCode = keyof typeof unrunMessages;

/** How a line ended: its job did, or there is none. */
export type LineResult =
  | { kind: 'job'; head: OutcomeHead; body: Buffer | undefined }
  | { kind: 'error'; code: string; message: string };

/** Whether a line was not run because its batch was over. */
export function isUnrun(result: LineResult, unrun: UnrunCode | undefined): boolean {
  if (result.kind === 'error') return result.code in unrunMessages;
  return result.head.state === 'expired' || (result.head.state === 'cancelled' && unrun !== undefined);
}

/** Which file a line goes to: what succeeded to the output, all else to the errors. */
export function streamOf(result: LineResult): PieceStream {
  return result.kind === 'job' && result.head.state === 'succeeded' ? 'output' : 'errors';
}

export interface RenderedLine {
  bytes: Buffer;
  usage: BatchUsage;
}

export const noUsage: BatchUsage = {
  inputTokens: 0,
  cachedTokens: 0,
  outputTokens: 0,
  reasoningTokens: 0,
  nanoUsd: 0,
};

/** The line of the output or error file. The body of an answer is put in as the provider sent it, on one line. */
export function renderLine(
  jobId: string,
  customId: string,
  result: LineResult,
  body: Buffer,
  unrun: UnrunCode | undefined,
): RenderedLine {
  const id = `batch_req_${jobId.slice('job_'.length)}`;
  const start = `{"id":"${id}","custom_id":${JSON.stringify(customId)},`;
  const answered = result.kind === 'job' && result.head.error === null;
  if (!answered) {
    const error = result.kind === 'error' ? result : errorOf(result.head, body, unrun);
    const { code, message } = error;
    const bytes = Buffer.from(`${start}"response":null,"error":${JSON.stringify({ code, message })}}\n`);
    return { bytes, usage: noUsage };
  }
  const { text, parsed } = onOneLine(body);
  const response = `"response":{"status_code":${result.head.status},"request_id":"${jobId}","body":`;
  const bytes = Buffer.concat([Buffer.from(start + response), text, Buffer.from('},"error":null}\n')]);
  return { bytes, usage: { ...usageOf(parsed), nanoUsd: result.head.costNanoUsd ?? 0 } };
}

function errorOf(
  head: OutcomeHead,
  body: Buffer,
  unrun: UnrunCode | undefined,
): { code: string; message: string } {
  if (head.state === 'expired') return { code: 'batch_expired', message: unrunMessages.batch_expired };
  if (head.state === 'cancelled' && unrun) return { code: unrun, message: unrunMessages[unrun] };
  const { error } = (onOneLine(body).parsed ?? {}) as { error?: { message?: string } };
  return { code: head.error ?? 'failed', message: error?.message ?? 'The call failed.' };
}

const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const space = 0x20;

/** JSON with its line ends, which can only stand between values, as spaces; anything else as a JSON string. */
function onOneLine(body: Buffer): { text: Buffer; parsed: unknown } {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body.toString());
  } catch {
    const text = body.toString();
    return { text: Buffer.from(JSON.stringify(text)), parsed: undefined };
  }
  const text = Buffer.from(body);
  for (const end of [lineFeed, carriageReturn])
    for (let at = text.indexOf(end); at !== -1; at = text.indexOf(end, at + 1)) text[at] = space;
  return { text, parsed };
}

const count = (value: unknown) =>
  Number.isSafeInteger(value) && (value as number) > 0 ? (value as number) : 0;

type Counts = Record<string, unknown>;

/** In Gemini's words, which count thoughts beside the answer, and what tools put into the prompt beside the prompt. */
const googleUsage = (usage: Counts): Omit<BatchUsage, 'nanoUsd'> => ({
  inputTokens: count(usage.promptTokenCount) + count(usage.toolUsePromptTokenCount),
  cachedTokens: count(usage.cachedContentTokenCount),
  outputTokens: count(usage.candidatesTokenCount) + count(usage.thoughtsTokenCount),
  reasoningTokens: count(usage.thoughtsTokenCount),
});

/** Usage in OpenAI's words of either API, in Anthropic's or in Gemini's. */
function usageOf(parsed: unknown): Omit<BatchUsage, 'nanoUsd'> {
  const { usage, usageMetadata } = (parsed ?? {}) as { usage?: Counts; usageMetadata?: Counts };
  if (usageMetadata) return googleUsage(usageMetadata);
  if (!usage) return noUsage;
  const input = (usage.prompt_tokens_details ?? usage.input_tokens_details) as
    | Record<string, unknown>
    | undefined;
  const output = (usage.completion_tokens_details ?? usage.output_tokens_details) as
    | Record<string, unknown>
    | undefined;
  return {
    // Anthropic leaves out what the prompt cache read and wrote.
    inputTokens:
      count(usage.prompt_tokens ?? usage.input_tokens) +
      count(usage.cache_read_input_tokens) +
      count(usage.cache_creation_input_tokens),
    cachedTokens: count(input?.cached_tokens ?? usage.cache_read_input_tokens),
    outputTokens: count(usage.completion_tokens ?? usage.output_tokens),
    reasoningTokens: count(output?.reasoning_tokens),
  };
}
