import type { Usage } from '#shared/contracts/job.ts';

export type Fields = Record<string, unknown>;

/** What one event of a provider's stream says. Anything left out it does not say. */
export interface StreamEventSense {
  /** The answer is whole with this event, although more (usage, an end mark) may follow. */
  finished?: boolean;
  /** Nothing follows. */
  over?: boolean;
  /** The provider gives up: the error it names. */
  error?: Fields;
  /** Text (or arguments of a tool) that the event adds, for counting. */
  text?: string;
  /** Tokens known so far. */
  usage?: Partial<Usage>;
  /** The event holds nothing but usage. */
  onlyUsage?: boolean;
}

/** Reads the events of one streaming endpoint. Pure; `data` is the parsed JSON of the event. */
export type StreamReader = (data: Fields) => StreamEventSense;

export const objectOf = (value: unknown): Fields | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
export const textOf = (value: unknown) => (typeof value === 'string' ? value : '');
export const listOf = (value: unknown): Fields[] =>
  Array.isArray(value) ? value.map(objectOf).filter((each) => each !== undefined) : [];
