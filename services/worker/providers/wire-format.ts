import type { Operation } from '#shared/contracts/endpoint.ts';
import type { Usage } from '#shared/contracts/job.ts';
import type { StreamReader } from './stream-reader.ts';

/** How a dialect writes its answers. Pure. */
export interface WireFormat {
  /** Tokens of a successful answer; undefined when it names none that make sense. */
  readUsage(answer: Record<string, unknown>): Usage | undefined;
  /** Whether a 200 has the form of a finished answer of the operation. */
  isAnswer(operation: Operation, answer: Record<string, unknown>): boolean;
  /** Reads the events of a streamed answer of the operation. */
  streamReader(operation: Operation): StreamReader;
  /** The body that an error event of a stream would have been, had it come before the stream. */
  errorBody(error: Record<string, unknown>): Record<string, unknown>;
}

const largestCount = 1e9;

/** A token count as providers should send it; undefined for anything else (negative, fractions, text, NaN). */
export function tokenCount(value: unknown): number | undefined {
  const sensible =
    typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= largestCount;
  return sensible ? value : undefined;
}

/** Parts of the tokens by kind; a kind of which there are none is left out. */
export function partsOf(
  counts: Partial<Record<Exclude<keyof Usage, 'inputTokens' | 'outputTokens'>, unknown>>,
): Partial<Usage> {
  const parts: Partial<Usage> = {};
  for (const [kind, value] of Object.entries(counts)) {
    const count = tokenCount(value);
    if (count) parts[kind as keyof Usage] = count;
  }
  return parts;
}

/** The fields of a group inside the usage, if it is one. */
export function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
