import type { CallOptions, ReadCall } from './call.ts';
import { type Fields, isObject, numberAt, untranslatable } from './fields.ts';

type NumberOption =
  | 'maxOutputTokens'
  | 'temperature'
  | 'topP'
  | 'topK'
  | 'presencePenalty'
  | 'frequencyPenalty'
  | 'seed';

/**
 * What becomes of a parameter. `read`: its endpoint's reader translates it. `to`: a number that goes over as it is.
 * `dropped`: left out and named to the caller, unless its value asks for nothing. `refused`: the call is not accepted,
 * unless its value asks for nothing.
 */
export type Fate =
  | 'read'
  | { to: NumberOption }
  | { dropped: true; unless?: (value: unknown) => boolean }
  | { refused: string; unless?: (value: unknown) => boolean };

const dropped: Fate = { dropped: true };
const isFalse = (value: unknown) => value === false;
const isEmpty = (value: unknown) =>
  (Array.isArray(value) ? value : Object.keys(value as object)).length === 0;
const isOne = (value: unknown) => value === 1;
const isZero = (value: unknown) => value === 0;
const onlyText = (value: unknown) => Array.isArray(value) && value.every((each) => each === 'text');

const several: Fate = { refused: 'only one answer can be asked for', unless: isOne };
const probabilities = 'no other dialect gives probabilities';
const stored = 'nothing is stored at a provider of another dialect';

/** Common to both of OpenAI's chat-like endpoints, and to completions. */
const openaiSampling: Record<string, Fate> = {
  model: 'read',
  stream: 'read',
  stream_options: 'read',
  temperature: { to: 'temperature' },
  top_p: { to: 'topP' },
  user: 'read',
  metadata: { dropped: true, unless: isEmpty },
  service_tier: { dropped: true, unless: (value) => value === 'auto' || value === 'default' },
};

const chat: Record<string, Fate> = {
  ...openaiSampling,
  messages: 'read',
  max_tokens: 'read',
  max_completion_tokens: 'read',
  presence_penalty: { to: 'presencePenalty' },
  frequency_penalty: { to: 'frequencyPenalty' },
  seed: { to: 'seed' },
  stop: 'read',
  response_format: 'read',
  tools: 'read',
  tool_choice: 'read',
  parallel_tool_calls: 'read',
  reasoning_effort: 'read',
  safety_identifier: 'read',
  n: several,
  logprobs: { refused: probabilities, unless: isFalse },
  top_logprobs: { refused: probabilities, unless: isZero },
  logit_bias: { refused: 'tokens are numbered differently in every dialect', unless: isEmpty },
  modalities: { refused: 'only text can be asked for', unless: onlyText },
  audio: { refused: 'audio cannot be translated' },
  functions: { refused: 'use tools' },
  function_call: { refused: 'use tool_choice' },
  web_search_options: { refused: 'the tools of a provider are its own' },
  prediction: dropped,
  verbosity: dropped,
  prompt_cache_key: dropped,
  prompt_cache_retention: dropped,
  store: { dropped: true, unless: isFalse },
};

const completions: Record<string, Fate> = {
  ...openaiSampling,
  prompt: 'read',
  max_tokens: { to: 'maxOutputTokens' },
  presence_penalty: { to: 'presencePenalty' },
  frequency_penalty: { to: 'frequencyPenalty' },
  seed: { to: 'seed' },
  stop: 'read',
  n: several,
  best_of: several,
  echo: { refused: 'the prompt is not given back', unless: isFalse },
  suffix: { refused: 'nothing can be filled in before a suffix', unless: (value) => value === '' },
  logprobs: { refused: probabilities, unless: isZero },
  logit_bias: { refused: 'tokens are numbered differently in every dialect', unless: isEmpty },
};

const responses: Record<string, Fate> = {
  ...openaiSampling,
  input: 'read',
  instructions: 'read',
  max_output_tokens: { to: 'maxOutputTokens' },
  text: 'read',
  tools: 'read',
  tool_choice: 'read',
  parallel_tool_calls: 'read',
  reasoning: 'read',
  safety_identifier: 'read',
  include: 'read',
  previous_response_id: { refused: stored },
  conversation: { refused: stored },
  background: { refused: 'submit a job instead', unless: isFalse },
  prompt: { refused: stored },
  top_logprobs: { refused: probabilities, unless: isZero },
  max_tool_calls: dropped,
  truncation: { dropped: true, unless: (value) => value === 'disabled' },
  prompt_cache_key: dropped,
  prompt_cache_retention: dropped,
  store: { dropped: true, unless: isFalse },
};

const messages: Record<string, Fate> = {
  model: 'read',
  stream: 'read',
  messages: 'read',
  system: 'read',
  max_tokens: { to: 'maxOutputTokens' },
  temperature: { to: 'temperature' },
  top_p: { to: 'topP' },
  top_k: { to: 'topK' },
  stop_sequences: 'read',
  tools: 'read',
  tool_choice: 'read',
  thinking: 'read',
  output_config: 'read',
  output_format: 'read',
  metadata: 'read',
  service_tier: { dropped: true, unless: (value) => value === 'auto' },
  context_management: dropped,
  cache_control: dropped,
  mcp_servers: { refused: 'the tools of a provider are its own', unless: isEmpty },
  container: { refused: stored },
  speed: dropped,
};

const gemini: Record<string, Fate> = {
  model: 'read',
  stream: 'read',
  contents: 'read',
  systemInstruction: 'read',
  system_instruction: 'read',
  generationConfig: 'read',
  generation_config: 'read',
  tools: 'read',
  toolConfig: 'read',
  tool_config: 'read',
  safetySettings: { dropped: true, unless: isEmpty },
  labels: dropped,
  cachedContent: { refused: stored },
};

/** What stands in Gemini's `generationConfig`. */
export const generationParameters: Record<string, Fate> = {
  temperature: { to: 'temperature' },
  topP: { to: 'topP' },
  topK: { to: 'topK' },
  maxOutputTokens: { to: 'maxOutputTokens' },
  presencePenalty: { to: 'presencePenalty' },
  frequencyPenalty: { to: 'frequencyPenalty' },
  seed: { to: 'seed' },
  stopSequences: 'read',
  responseMimeType: 'read',
  responseSchema: 'read',
  responseJsonSchema: 'read',
  thinkingConfig: 'read',
  candidateCount: several,
  responseLogprobs: { refused: probabilities, unless: isFalse },
  logprobs: { refused: probabilities, unless: isZero },
  responseModalities: {
    refused: 'only text can be asked for',
    unless: (value) => Array.isArray(value) && value.every((each) => /^text$/i.test(String(each))),
  },
  speechConfig: { refused: 'audio cannot be translated' },
};

/** Every parameter that is known, by endpoint. Others are dropped and named. */
export const parametersOf = {
  '/v1/chat/completions': chat,
  '/v1/completions': completions,
  '/v1/responses': responses,
  '/v1/messages': messages,
  '/v1beta/models/{model}:generateContent': gemini,
} satisfies Record<string, Record<string, Fate>>;

/** Applies the table to a body: what is left to do are the parameters that are `read`. @throws SluiceError not_translatable */
export function applyParameters(
  table: Record<string, Fate>,
  body: Fields,
  call: ReadCall,
  prefix = '',
): void {
  for (const [param, value] of Object.entries(body)) {
    if (value === null || value === undefined) continue;
    applyFate(Object.hasOwn(table, param) ? table[param]! : dropped, prefix + param, value, call);
  }
}

function applyFate(fate: Fate, param: string, value: unknown, call: ReadCall): void {
  if (fate === 'read') return;
  if ('to' in fate) {
    call.options[fate.to] = numberAt(value, param);
    call.names[fate.to] = param;
    return;
  }
  if (fate.unless && asksForNothing(fate.unless, value)) return;
  if ('refused' in fate) throw untranslatable(param, fate.refused);
  call.dropped.add(param);
}

const asksForNothing = (unless: (value: unknown) => boolean, value: unknown) =>
  (unless !== isEmpty || isObject(value) || Array.isArray(value)) && unless(value);

/** A call of which nothing has been read yet. */
export function emptyCall(): ReadCall {
  const options: CallOptions = { prompt: [] };
  return { options, dropped: new Set(), names: {} };
}
