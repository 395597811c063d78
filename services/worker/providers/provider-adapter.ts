import type { Endpoint } from '#shared/contracts/endpoint.ts';
import type { Usage } from '#shared/contracts/job.ts';
import type { StreamReader } from './stream-reader.ts';

/** One dialect of provider. Pure: no input, no output, no clock. */
export interface ProviderAdapter {
  /** Headers that carry the key and what the dialect demands. */
  authHeaders(apiKey: string): Record<string, string>;
  /** Tokens of a successful answer; undefined when it names none that make sense. */
  readUsage(answer: Record<string, unknown>): Usage | undefined;
  /** Whether a 200 has the form of a finished answer of the endpoint. */
  isAnswer(endpoint: Endpoint, answer: Record<string, unknown>): boolean;
  /** Reads the events of a streamed answer of the endpoint. */
  streamReader(endpoint: Endpoint): StreamReader;
}

const largestCount = 1e9;

/** A token count as providers should send it; undefined for anything else (negative, fractions, text, NaN). */
export function tokenCount(value: unknown): number | undefined {
  const sensible =
    typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= largestCount;
  return sensible ? value : undefined;
}
