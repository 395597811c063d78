export type Dialect = 'openai' | 'anthropic' | 'gemini' | 'bedrock';
export type JsonObject = Record<string, unknown>;

/** A valid request, as far as the simulator cares. */
export interface Prompt {
  model: string;
  inputTokens: number;
  maxTokens: number | undefined;
  stream: boolean;
  body: JsonObject;
}

export interface ToolCall {
  id: string;
  name: string;
  argumentsText: string;
}

/** What an answer is to say; how it says it is the endpoint's matter. */
export interface Generation {
  /** Unique to this request, without a prefix. */
  id: string;
  createdS: number;
  outputTokens: number;
  /** The request's maximum ended the answer. */
  cutShort: boolean;
  toolCall: ToolCall | undefined;
  text(): string;
  /** The same text in pieces of one token. */
  words(): string[];
  /** A vector of about unit length for one text. */
  vector(text: string, dimensions: number): Float32Array;
}

/** A body as it goes out: at once, or opening, a piece per token, closing. */
export interface Answer {
  contentType: string;
  /** Set where the texts stand for bytes, one character each. */
  encoding?: 'latin1';
  opening: string;
  pieces: readonly string[];
  closing: string;
  /** What `usage` counts as output. */
  outputTokens: number;
}

/** How `usage` ends up in an answer: the endpoint's own count passes through here, so that a fault can replace it. */
export type UsageFilter = (usage: JsonObject) => unknown;

export interface Endpoint {
  /** `{model}` where the path names the model; model and streaming then stand in the body that is read. */
  path: string;
  dialect: Dialect;
  /** Whether limits, faults and windows see it. */
  generation: boolean;
  /** Throws `InvalidRequest`. */
  read(body: JsonObject): Prompt;
  answer(prompt: Prompt, generation: Generation, usage: UsageFilter): Answer;
}

/** A body that the provider answers with 400. */
export class InvalidRequest extends Error {
  readonly param: string | null;

  constructor(message: string, param: string | null = null) {
    super(message);
    this.param = param;
  }
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A JSON answer, which has no pieces. */
export function jsonAnswer(body: unknown, outputTokens: number): Answer {
  const opening = JSON.stringify(body);
  return { contentType: 'application/json', opening, pieces: [], closing: '', outputTokens };
}

export const eventStream = 'text/event-stream; charset=utf-8';

/** One server-sent event with a name, as Anthropic and the Responses API send them. */
export function namedEvent(event: JsonObject & { type: string }): string {
  return `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
}

/** Stands for the one text that differs between the pieces of a stream. */
export const hole = '\u0001hole';

/** What stands before and after the hole in an event, so that a piece costs two joins and not a serialisation. */
export function around(event: string): [before: string, after: string] {
  const [before = '', after = ''] = event.split(JSON.stringify(hole));
  return [before, after];
}
