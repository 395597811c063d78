import type { Endpoint } from '#shared/contracts/endpoint.ts';

type Fields = Record<string, unknown>;

/** The last message of a user, and the call without its text. */
export interface LastQuestion {
  text: string;
  rest: Fields;
}

interface Conversation {
  field: string;
  /** Where a message has its content. */
  content: string;
  /** The type of a piece of text; undefined where pieces have none. */
  textType?: string;
}

const conversations: Partial<Record<Endpoint, Conversation>> = {
  '/v1/chat/completions': { field: 'messages', content: 'content', textType: 'text' },
  '/v1/messages': { field: 'messages', content: 'content', textType: 'text' },
  '/v1/responses': { field: 'input', content: 'content', textType: 'input_text' },
  '/v1beta/models/{model}:generateContent': { field: 'contents', content: 'parts' },
};

const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null;

/**
 * Takes the text of the last message out of a call, if a user wrote it: two calls that are the same without it differ in
 * their question alone. Undefined when there is no such message, or it holds no text.
 */
export function lastQuestion(endpoint: Endpoint, fields: Fields): LastQuestion | undefined {
  const place = conversations[endpoint];
  const conversation = place && fields[place.field];
  if (!place || conversation === undefined) return undefined;
  if (typeof conversation === 'string') return question(conversation, { ...fields, [place.field]: '' });
  if (!Array.isArray(conversation)) return undefined;
  const last: unknown = conversation.at(-1);
  if (!isFields(last) || (last.role ?? 'user') !== 'user') return undefined;
  const taken = takeText(last[place.content], place.textType);
  if (!taken) return undefined;
  const message = { ...last, [place.content]: taken.rest };
  return question(taken.text, { ...fields, [place.field]: [...conversation.slice(0, -1), message] });
}

const question = (text: string, rest: Fields) => (text.trim() === '' ? undefined : { text, rest });

function takeText(
  content: unknown,
  textType: string | undefined,
): { text: string; rest: unknown } | undefined {
  if (typeof content === 'string') return { text: content, rest: '' };
  if (!Array.isArray(content)) return undefined;
  const texts: string[] = [];
  const rest = content.map((part: unknown) => {
    if (!isFields(part) || part.type !== textType || typeof part.text !== 'string') return part;
    texts.push(part.text);
    return { ...part, text: '' };
  });
  return { text: texts.join('\n'), rest };
}
