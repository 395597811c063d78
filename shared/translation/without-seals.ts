import type { Endpoint } from '#shared/contracts/endpoint.ts';
import { type Fields, isObject } from './fields.ts';
import { isSeal, isSealedBytes } from './sealed.ts';

/** What a body holds that repeats what another dialect's model thought; JSON without spaces, as bodies are kept. */
const traces = /"(?:sluice\.|c2x1aWNlL|signature":""|rs_[0-9a-f]{32}_)/;
/** Ids that the writer of responses gives to what was thought. */
const ownReasoningId = /^rs_[0-9a-f]{32}_\d+$/;

const objects = (value: unknown): Fields[] => (Array.isArray(value) ? value.filter(isObject) : []);

/**
 * The body for a provider of the caller's own dialect, without what a model of another one thought in earlier turns: its
 * signatures are sealed or missing, and a provider refuses what it has not signed itself.
 */
export function withoutSeals(endpoint: Endpoint, body: string): string {
  if (!traces.test(body)) return body;
  const strip = strippers[endpoint];
  const fields = strip && (JSON.parse(body) as Fields);
  if (!fields) return body;
  strip(fields);
  return JSON.stringify(fields);
}

const strippers: Partial<Record<Endpoint, (body: Fields) => void>> = {
  '/v1/messages': stripMessages,
  '/v1/messages/count_tokens': stripMessages,
  '/v1/chat/completions': stripChat,
  '/v1/responses': stripResponse,
  '/v1beta/models/{model}:generateContent': stripGemini,
};

function isForeignThought({ type, signature, data }: Fields): boolean {
  if (type === 'thinking') return signature === '' || isSeal(signature);
  return type === 'redacted_thinking' && isSeal(data);
}

function stripMessages(body: Fields): void {
  let lostBeforeCall = false;
  body.messages = objects(body.messages).flatMap((message) => {
    if (!Array.isArray(message.content)) return [message];
    const content = (message.content as unknown[]).filter(
      (each) => !(isObject(each) && isForeignThought(each)),
    );
    if (content.length === message.content.length) return [message];
    lostBeforeCall ||= objects(content).some(({ type }) => type === 'tool_use');
    return content.length === 0 ? [] : [{ ...message, content }];
  });
  // A turn that calls tools must begin with what was thought, or nothing is thought at all.
  if (lostBeforeCall) delete body.thinking;
}

function stripChat(body: Fields): void {
  for (const message of objects(body.messages)) {
    if (Array.isArray(message.reasoning_details)) {
      const kept = objects(message.reasoning_details).filter(({ signature }) => !isSeal(signature));
      if (kept.length > 0) message.reasoning_details = kept;
      else delete message.reasoning_details;
    }
    for (const call of objects(message.tool_calls))
      if (isObject(call.extra_content) && isSeal(call.extra_content.sluice)) delete call.extra_content;
  }
}

function stripResponse(body: Fields): void {
  if (!Array.isArray(body.input)) return;
  body.input = (body.input as unknown[]).filter(
    (item) =>
      !isObject(item) ||
      item.type !== 'reasoning' ||
      !(isSeal(item.encrypted_content) || ownReasoningId.test(String(item.id))),
  );
}

function stripGemini(body: Fields): void {
  for (const content of objects(body.contents)) {
    const parts = objects(content.parts).filter(
      ({ thought, thoughtSignature }) => !(thought === true && isSealedBytes(thoughtSignature)),
    );
    content.parts = parts.length > 0 ? parts : [{ text: '' }];
  }
}
