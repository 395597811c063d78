import { createParser } from 'eventsource-parser';
import { type Endpoint, generates } from '#shared/contracts/endpoint.ts';
import type { AnswerShape, CachedAnswer } from './cache-store.ts';
import { type AnswerEnd, type AnswerForm, endMark, type Fields, isFields } from './forms/answer-form.ts';
import { chatForm } from './forms/chat-form.ts';
import { completionsForm } from './forms/completions-form.ts';
import { geminiForm } from './forms/gemini-form.ts';
import { messagesForm } from './forms/messages-form.ts';
import { responsesForm } from './forms/responses-form.ts';

/** Endpoints whose answers come in both shapes; those of the others are only kept whole. */
const forms: Partial<Record<Endpoint, AnswerForm>> = {
  '/v1/chat/completions': chatForm,
  '/v1/completions': completionsForm,
  '/v1/messages': messagesForm,
  '/v1/responses': responsesForm,
  '/v1beta/models/{model}:generateContent': geminiForm,
};

const wholeType = 'application/json';
const streamType = 'text/event-stream; charset=utf-8';

/** The answer in one piece; undefined when its stream cannot be put together. */
function wholeOf(endpoint: Endpoint, { shape, body, usage }: CachedAnswer): Fields | undefined {
  if (shape !== 'whole') return forms[endpoint]?.assemble(eventsOf(body), usage);
  const parsed: unknown = JSON.parse(body.toString());
  return isFields(parsed) ? parsed : undefined;
}

function eventsOf(body: Buffer): Fields[] {
  const events: Fields[] = [];
  const parser = createParser({
    onEvent: ({ data }) => {
      if (data !== endMark) events.push(JSON.parse(data) as Fields);
    },
  });
  parser.feed(body.toString());
  return events;
}

/** How an answer ended, whichever its shape; one that cannot be read has no end. */
export function answerEnd(endpoint: Endpoint, answer: CachedAnswer): AnswerEnd {
  try {
    const whole = wholeOf(endpoint, answer);
    if (!whole) return 'unfinished';
    if (!generates(endpoint)) return whole.error === undefined ? 'complete' : 'unfinished';
    return forms[endpoint]?.endOf(whole) ?? 'unfinished';
  } catch {
    return 'unfinished';
  }
}

/**
 * An answer in the shape a caller asks for: its bytes as they are when it was made so, else the same answer made into
 * the other shape. Undefined when that cannot be done.
 */
export function inShape(
  endpoint: Endpoint,
  answer: CachedAnswer,
  shape: AnswerShape,
): { body: Buffer; contentType: string } | undefined {
  if (answer.shape === shape) return { body: answer.body, contentType: answer.contentType };
  try {
    const whole = wholeOf(endpoint, answer);
    const form = forms[endpoint];
    if (!whole || !form) return undefined;
    if (shape === 'whole') return { body: Buffer.from(JSON.stringify(whole)), contentType: wholeType };
    return { body: Buffer.from(form.stream(whole, shape === 'as_is')), contentType: streamType };
  } catch {
    return undefined;
  }
}
