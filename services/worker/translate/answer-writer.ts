import type { LanguageModelV4FinishReason, LanguageModelV4Usage } from '@ai-sdk/provider';
import type { Block, BlockEvents } from './blocks.ts';

export type Fields = Record<string, unknown>;

/** What an answer says of itself beside its content. */
export interface AnswerHead {
  /** Part of its id; the dialect puts its own mark before it. */
  id: string;
  /** Seconds since the epoch. */
  createdS: number;
  /** Model as the provider names it. */
  model: string;
  /** The caller's body. */
  asked: Fields;
  /** Whether a streamed answer tells its usage. */
  showUsage: boolean;
}

/** How an answer ended. */
export interface AnswerEnd {
  reason: LanguageModelV4FinishReason;
  usage: LanguageModelV4Usage;
}

/** Writes answers in the dialect of one endpoint. Pure. */
export interface AnswerWriter {
  whole(head: AnswerHead, blocks: readonly Block[], end: AnswerEnd): Fields;
  stream(head: AnswerHead): StreamWriter;
}

/** Writes one streamed answer, as server-sent events. Blocks come one after the other. */
export interface StreamWriter extends BlockEvents {
  begin(): string;
  finish(blocks: readonly Block[], end: AnswerEnd): string;
}

/** Token counts as the dialects know them: `input` is all of it, what was cached included. */
export function countsOf({ inputTokens, outputTokens }: LanguageModelV4Usage): {
  input: number;
  cacheRead: number;
  cacheWrite: number;
  output: number;
  reasoning: number;
} {
  const cacheRead = inputTokens.cacheRead ?? 0;
  const cacheWrite = inputTokens.cacheWrite ?? 0;
  return {
    input: inputTokens.total ?? (inputTokens.noCache ?? 0) + cacheRead + cacheWrite,
    cacheRead,
    cacheWrite,
    output: outputTokens.total ?? (outputTokens.text ?? 0) + (outputTokens.reasoning ?? 0),
    reasoning: outputTokens.reasoning ?? 0,
  };
}

/** An event that is named by the type of its data. */
export const namedEvent = (data: { type: string } & Fields) =>
  `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;

export const plainEvent = (data: Fields) => `data: ${JSON.stringify(data)}\n\n`;

/** The value that a JSON text stands for; models write broken ones, and an empty object is one in every dialect. */
export function argumentsOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return {};
  }
}
