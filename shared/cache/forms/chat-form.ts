import {
  type AnswerEnd,
  type AnswerForm,
  countedUsage,
  dataEvent,
  endEvent,
  type Fields,
  isFields,
  listOf,
  worstEnd,
} from './answer-form.ts';

const cutReasons: readonly unknown[] = ['length', 'content_filter'];
/** Strings of a delta that name something, where others continue a text. */
const names: ReadonlySet<string> = new Set(['role', 'id', 'type', 'name']);

/** OpenAI chat completions. */
export const chatForm: AnswerForm = {
  endOf(answer) {
    const choices = listOf(answer.choices);
    return choices.length === 0 ? 'unfinished' : worstEnd(choices.map(endOfChoice));
  },

  assemble(events, usage) {
    const answer: Fields = {};
    const choices: Fields[] = [];
    // `obfuscation` pads each event of its own.
    for (const { choices: parts, usage: told, obfuscation: _padding, ...head } of events) {
      Object.assign(answer, head);
      if (isFields(told)) answer.usage = told;
      for (const part of listOf(parts)) addPart(choices, part);
    }
    if (choices.length === 0 || choices.includes(undefined as never)) return undefined;
    const { usage: told = countedUsage(usage), ...head } = answer;
    return { ...head, object: 'chat.completion', choices, ...(told === undefined ? {} : { usage: told }) };
  },

  stream({ choices, usage: told, ...head }, usage) {
    const tail = usage ? { usage: null } : {};
    const chunk = (parts: Fields[], more: Fields = tail) =>
      dataEvent({ ...head, object: 'chat.completion.chunk', choices: parts, ...more });
    const texts = listOf(choices).flatMap((choice) => partsOf(choice).map((part) => chunk([part])));
    return texts.join('') + (usage ? chunk([], { usage: told ?? null }) : '') + endEvent;
  },
};

function endOfChoice({ finish_reason, message }: Fields): AnswerEnd {
  if (typeof finish_reason !== 'string') return 'unfinished';
  if (cutReasons.includes(finish_reason)) return 'truncated';
  const { tool_calls, function_call } = isFields(message) ? message : {};
  return listOf(tool_calls).length > 0 || isFields(function_call) ? 'tools' : 'complete';
}

function addPart(choices: Fields[], { index, delta, logprobs, finish_reason, ...more }: Fields): void {
  const at = Number(index);
  choices[at] ??= { index: at, message: {}, logprobs: null, finish_reason: null };
  const choice = choices[at];
  Object.assign(choice, more);
  merge(choice.message as Fields, isFields(delta) ? delta : {});
  if (isFields(logprobs)) {
    choice.logprobs ??= {};
    merge(choice.logprobs as Fields, logprobs);
  }
  if (typeof finish_reason === 'string') choice.finish_reason = finish_reason;
}

/** Adds a delta to what came before: texts and lists go on, tool calls by their index, all else is set. */
function merge(target: Fields, delta: Fields): void {
  for (const [key, value] of Object.entries(delta)) {
    const before = target[key];
    if (key === 'tool_calls') target[key] = mergeCalls(listOf(before), listOf(value));
    else if (before === undefined || before === null) target[key] = value;
    else if (value === null) continue;
    else if (typeof before === 'string' && typeof value === 'string' && !names.has(key))
      target[key] = before + value;
    else if (Array.isArray(before) && Array.isArray(value))
      target[key] = [...before, ...(value as unknown[])];
    else if (isFields(before) && isFields(value)) merge(before, value);
    else target[key] = value;
  }
}

function mergeCalls(calls: Fields[], deltas: readonly Fields[]): Fields[] {
  for (const { index, ...delta } of deltas) {
    const at = typeof index === 'number' ? index : calls.length;
    calls[at] ??= {};
    merge(calls[at], structuredClone(delta));
  }
  return calls;
}

/** The deltas that make one choice: who speaks, what it says, its tools, its end. */
function partsOf({ index, message, finish_reason, logprobs = null, ...more }: Fields): Fields[] {
  const { content = null, tool_calls, ...said } = isFields(message) ? message : {};
  const part = (delta: Fields, sound: unknown = null, end: unknown = null) => ({
    index,
    delta,
    logprobs: sound,
    finish_reason: end,
    ...(end === null ? {} : more),
  });
  const isText = typeof content === 'string';
  const calls = listOf(tool_calls).map((call, at) => ({ index: at, ...call }));
  return [
    part({ ...said, content: isText ? '' : content }),
    ...(isText && content !== '' ? [part({ content }, logprobs)] : []),
    ...(calls.length > 0 ? [part({ tool_calls: calls })] : []),
    part({}, isText && content !== '' ? null : logprobs, finish_reason),
  ];
}
