import {
  type AnswerForm,
  countedUsage,
  dataEvent,
  endEvent,
  type Fields,
  isFields,
  listOf,
  textOf,
  worstEnd,
} from './answer-form.ts';

/** OpenAI's older completions. */
export const completionsForm: AnswerForm = {
  endOf(answer) {
    const ends = listOf(answer.choices).map(({ finish_reason }) => {
      if (typeof finish_reason !== 'string') return 'unfinished' as const;
      return finish_reason === 'stop' ? ('complete' as const) : ('truncated' as const);
    });
    return ends.length === 0 ? 'unfinished' : worstEnd(ends);
  },

  assemble(events, usage) {
    const answer: Fields = {};
    const choices: Fields[] = [];
    for (const { choices: parts, usage: told, ...head } of events) {
      Object.assign(answer, head);
      if (isFields(told)) answer.usage = told;
      for (const part of listOf(parts)) {
        // Tokens with their probabilities would have to be put together: such a stream is not turned into an answer.
        if (isFields(part.logprobs)) return undefined;
        addPart(choices, part);
      }
    }
    if (choices.length === 0 || choices.includes(undefined as never)) return undefined;
    const { usage: told = countedUsage(usage), ...head } = answer;
    return { ...head, choices, ...(told === undefined ? {} : { usage: told }) };
  },

  stream({ choices, usage: told, ...head }, usage) {
    const tail = usage ? { usage: null } : {};
    const chunks = listOf(choices).map((choice) => dataEvent({ ...head, choices: [choice], ...tail }));
    const last = usage ? dataEvent({ ...head, choices: [], usage: told ?? null }) : '';
    return chunks.join('') + last + endEvent;
  },
};

function addPart(choices: Fields[], { index, text, finish_reason, ...more }: Fields): void {
  const at = Number(index);
  const before = choices[at];
  choices[at] = {
    index: at,
    ...before,
    ...more,
    text: textOf(before?.text) + textOf(text),
    finish_reason: finish_reason ?? before?.finish_reason ?? null,
  };
}
