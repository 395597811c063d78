import type { Endpoint } from '#shared/contracts/endpoint.ts';
import type { AnswerWriter } from './answer-writer.ts';
import { chatWriter } from './write-chat.ts';
import { completionWriter } from './write-completion.ts';
import { geminiWriter } from './write-gemini.ts';
import { messageWriter } from './write-message.ts';
import { responseWriter } from './write-response.ts';

const writers: Partial<Record<Endpoint, AnswerWriter>> = {
  '/v1/chat/completions': chatWriter,
  '/v1/completions': completionWriter,
  '/v1/responses': responseWriter,
  '/v1/messages': messageWriter,
  '/v1beta/models/{model}:generateContent': geminiWriter,
};

export function writerOf(endpoint: Endpoint): AnswerWriter {
  const writer = writers[endpoint];
  if (!writer) throw new RangeError(`answers of ${endpoint} are never translated`);
  return writer;
}
