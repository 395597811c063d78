import { createParser } from 'eventsource-parser';
import type { Endpoint } from '#shared/contracts/endpoint.ts';

type Fields = Record<string, unknown>;

/** What an answer holds, as far as its quality is judged. */
export interface AnswerContent {
  /** One for each choice. */
  texts: string[];
  /** Something else than text: a tool call, a refusal, audio. */
  hasOther: boolean;
  /** Ended by its length limit. */
  isTruncated: boolean;
}

const object = (value: unknown): Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
const list = (value: unknown): Fields[] => (Array.isArray(value) ? value.map(object) : []);
const string = (value: unknown) => (typeof value === 'string' ? value : '');
const filled = (value: unknown) =>
  Array.isArray(value) ? value.length > 0 : value !== null && value !== undefined && value !== '';

type Readers = Partial<Record<Endpoint, (answer: Fields) => AnswerContent>>;

const isCut = (choices: readonly Fields[]) => choices.some(({ finish_reason }) => finish_reason === 'length');
const saysMore = (message: Fields) =>
  [message.tool_calls, message.function_call, message.refusal, message.audio].some(filled);

const wholeReaders: Readers = {
  '/v1/chat/completions': ({ choices: given }) => {
    const choices = list(given);
    const messages = choices.map(({ message }) => object(message));
    return {
      texts: messages.map(({ content }) => string(content)),
      hasOther: messages.some(saysMore),
      isTruncated: isCut(choices),
    };
  },
  '/v1/completions': ({ choices: given }) => {
    const choices = list(given);
    return {
      texts: choices.map(({ text }) => string(text)),
      hasOther: false,
      isTruncated: isCut(choices),
    };
  },
  '/v1/responses': (answer) => {
    const output = list(answer.output);
    const parts = output.flatMap(({ content }) => list(content));
    const isAction = ({ type }: Fields) => type !== 'message' && type !== 'reasoning';
    return {
      texts: [parts.map(({ text }) => string(text)).join('')],
      hasOther: parts.some(({ refusal }) => filled(refusal)) || output.some(isAction),
      isTruncated: object(answer.incomplete_details).reason === 'max_output_tokens',
    };
  },
  '/v1/messages': ({ content, stop_reason }) => {
    const blocks = list(content);
    const isThought = ({ type }: Fields) => /^(redacted_)?thinking$/.test(string(type));
    return {
      texts: [blocks.map(({ text }) => string(text)).join('')],
      hasOther: blocks.some((block) => block.type !== 'text' && !isThought(block)),
      isTruncated: stop_reason === 'max_tokens',
    };
  },
};

/** The content of a whole answer of an endpoint; undefined for one whose answers are not judged. */
export function contentOf(endpoint: Endpoint, answer: Fields): AnswerContent | undefined {
  return wholeReaders[endpoint]?.(answer);
}

/** From the events of a stream, the answer they make up, as far as it is read above. */
const streamReaders: Partial<Record<Endpoint, (events: readonly Fields[]) => AnswerContent | undefined>> = {
  '/v1/chat/completions': (events) => {
    const choices = events.flatMap((event) => list(event.choices));
    return {
      texts: joined(choices, ({ delta }) => string(object(delta).content)),
      hasOther: choices.some(({ delta }) => saysMore(object(delta))),
      isTruncated: isCut(choices),
    };
  },
  '/v1/completions': (events) => {
    const choices = events.flatMap((event) => list(event.choices));
    return {
      texts: joined(choices, ({ text }) => string(text)),
      hasOther: false,
      isTruncated: isCut(choices),
    };
  },
  '/v1/responses': (events) => {
    const last = events.findLast(({ response }) => filled(response));
    return last && contentOf('/v1/responses', object(last.response));
  },
  '/v1/messages': (events) => {
    const begun = events.map(({ content_block }) => object(content_block));
    const text = events.map(({ delta }) => string(object(delta).text)).join('');
    const stop_reason = events.map(({ delta }) => object(delta).stop_reason).find(filled);
    const content = [...begun.filter(({ type }) => filled(type)), { type: 'text', text }];
    return contentOf('/v1/messages', { content, stop_reason });
  },
};

/** The same of a streamed answer, from the events that were passed on. */
export function streamedContentOf(endpoint: Endpoint, body: Buffer): AnswerContent | undefined {
  const read = streamReaders[endpoint];
  if (!read) return undefined;
  const events: Fields[] = [];
  const parser = createParser({
    onEvent: ({ data }) => {
      if (data !== '[DONE]') events.push(object(JSON.parse(data)));
    },
  });
  parser.feed(body.toString());
  return read(events);
}

/** The texts of choices that came in pieces. */
function joined(choices: readonly Fields[], textOf: (choice: Fields) => string): string[] {
  const texts = new Map<unknown, string>();
  for (const choice of choices) texts.set(choice.index, (texts.get(choice.index) ?? '') + textOf(choice));
  return [...texts.values()];
}

/** What a call demands of its answer: JSON, perhaps of a schema; undefined when it demands neither. */
export function demandOf(endpoint: Endpoint, body: Fields): { schema?: Fields } | undefined {
  const text = object(body.text);
  const config = object(body.output_config);
  const format = {
    '/v1/chat/completions': object(body.response_format),
    '/v1/responses': object(text.format),
    '/v1/messages': filled(config.format) ? object(config.format) : object(body.output_format),
  }[endpoint as string];
  if (format?.type === 'json_object') return {};
  if (format?.type !== 'json_schema') return undefined;
  const schema = object(format.json_schema).schema ?? format.schema;
  return filled(schema) ? { schema: object(schema) } : {};
}
