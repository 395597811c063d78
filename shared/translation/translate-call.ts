import type { Dialect, Endpoint } from '#shared/contracts/endpoint.ts';
import type { CallOptions, ReadCall } from './call.ts';
import type { Fields } from './fields.ts';
import { untranslatable } from './fields.ts';
import { readChat } from './read-chat.ts';
import { readCompletion } from './read-completions.ts';
import { readGemini } from './read-gemini.ts';
import { readMessages } from './read-messages.ts';
import { readResponse } from './read-responses.ts';
import { fitTo } from './targets.ts';

const readers: Partial<Record<Endpoint, (body: Fields) => ReadCall>> = {
  '/v1/chat/completions': readChat,
  '/v1/completions': readCompletion,
  '/v1/responses': readResponse,
  '/v1/messages': readMessages,
  '/v1beta/models/{model}:generateContent': readGemini,
};

export interface TranslatedCall {
  options: CallOptions;
  /** Parameters that were left out, in the caller's words. */
  dropped: string[];
  /** The caller's word for options that a model may refuse although its dialect has them. */
  names: ReadCall['names'];
}

/**
 * A caller's body as options for a provider of another dialect. Pure, and the same wherever it runs: at accept, to refuse
 * what cannot be said, and at the worker, which has nothing but the stored body and the provider of its pool.
 *
 * @throws SluiceError not_translatable, invalid_request
 */
export function translateCall(
  endpoint: Endpoint,
  body: Fields,
  dialect: Dialect,
  maxTokensDefault: number,
): TranslatedCall {
  const reader = readers[endpoint];
  if (!reader) throw untranslatable('model', `${endpoint} has no equivalent at its provider`);
  const call = reader(body);
  fitTo(dialect, call, maxTokensDefault);
  return { options: call.options, dropped: [...call.dropped].toSorted(), names: call.names };
}
