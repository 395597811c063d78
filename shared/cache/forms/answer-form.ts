import type { Usage } from '#shared/contracts/job.ts';

export type Fields = Record<string, unknown>;

/**
 * How the whole answer of an endpoint reads. `tools`: complete, and calls tools that the caller runs; `truncated`: cut
 * short by its length or a filter; `unfinished`: no end at all.
 */
export type AnswerEnd = 'complete' | 'tools' | 'truncated' | 'unfinished';

/** One endpoint's answer in its two shapes. Pure. */
export interface AnswerForm {
  /** How a whole answer ended. */
  endOf(answer: Fields): AnswerEnd;
  /** The whole answer that a stream made, from the data of its events; undefined when it cannot be told. */
  assemble(events: readonly Fields[], usage: Usage | undefined): Fields | undefined;
  /** The stream that makes the same answer, as bytes; `usage`: whether it tells its usage where that is asked for. */
  stream(answer: Fields, usage: boolean): string;
}

export const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
export const textOf = (value: unknown) => (typeof value === 'string' ? value : '');
export const listOf = (value: unknown): Fields[] => (Array.isArray(value) ? value.filter(isFields) : []);

/** An event without a name, as chat completions have them. */
export const dataEvent = (data: Fields) => `data: ${JSON.stringify(data)}\n\n`;
/** An event that is named by its type. */
export const namedEvent = (data: Fields) => `event: ${textOf(data.type)}\ndata: ${JSON.stringify(data)}\n\n`;
export const endMark = '[DONE]';
export const endEvent = `data: ${endMark}\n\n`;

/** The usage of OpenAI's older endpoints, for a stream in which the caller did not ask for it. */
export function countedUsage(usage: Usage | undefined): Fields | undefined {
  if (!usage) return undefined;
  const { inputTokens, outputTokens } = usage;
  return {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: inputTokens + outputTokens,
  };
}

/** The worst end among those of the parts of an answer. */
export function worstEnd(ends: readonly AnswerEnd[]): AnswerEnd {
  const order: readonly AnswerEnd[] = ['unfinished', 'truncated', 'tools'];
  return order.find((end) => ends.includes(end)) ?? 'complete';
}
