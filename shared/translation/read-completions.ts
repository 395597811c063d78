import type { ReadCall } from './call.ts';
import { type Fields, malformed, untranslatable } from './fields.ts';
import { applyParameters, emptyCall, parametersOf } from './parameters.ts';
import { readStop, readUser } from './read-chat.ts';

/** Takes an OpenAI completion out of its dialect: its prompt is what a user says. @throws SluiceError not_translatable, invalid_request */
export function readCompletion(body: Fields): ReadCall {
  const call = emptyCall();
  applyParameters(parametersOf['/v1/completions'], body, call);
  call.options.prompt = [{ role: 'user', content: [{ type: 'text', text: promptOf(body.prompt) }] }];
  readStop(body.stop, call);
  readUser(body, call);
  return call;
}

function promptOf(prompt: unknown): string {
  if (typeof prompt === 'string') return prompt;
  if (!Array.isArray(prompt) || prompt.length === 0) throw malformed('prompt', 'must be a string');
  if (prompt.length > 1 || typeof prompt[0] !== 'string')
    throw untranslatable('prompt', 'only one prompt, as text, can be translated');
  return prompt[0];
}
