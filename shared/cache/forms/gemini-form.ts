import {
  type AnswerEnd,
  type AnswerForm,
  dataEvent,
  type Fields,
  isFields,
  listOf,
  worstEnd,
} from './answer-form.ts';

/** Gemini's generateContent: every event of a stream is an answer with what is new. */
export const geminiForm: AnswerForm = {
  endOf(answer) {
    const candidates = listOf(answer.candidates);
    return candidates.length === 0 ? 'unfinished' : worstEnd(candidates.map(endOfCandidate));
  },

  assemble(events) {
    const answer: Fields = {};
    const candidates: Fields[] = [];
    for (const { candidates: parts, ...head } of events) {
      Object.assign(answer, head);
      for (const part of listOf(parts)) addPart(candidates, part);
    }
    if (candidates.length === 0 || candidates.includes(undefined as never)) return undefined;
    return { ...answer, candidates };
  },

  stream: (answer) => dataEvent(answer),
};

function endOfCandidate({ finishReason, content }: Fields): AnswerEnd {
  if (typeof finishReason !== 'string') return 'unfinished';
  if (finishReason !== 'STOP') return 'truncated';
  const parts = isFields(content) ? listOf(content.parts) : [];
  return parts.some(({ functionCall }) => functionCall !== undefined) ? 'tools' : 'complete';
}

function addPart(candidates: Fields[], { index = 0, content, ...more }: Fields): void {
  const at = Number(index);
  const before = candidates[at];
  const { parts, ...spoken } = isFields(content) ? content : {};
  const known = isFields(before?.content) ? before.content : {};
  candidates[at] = {
    ...before,
    index: at,
    ...more,
    content: { ...known, ...spoken, parts: joined([...listOf(known.parts), ...listOf(parts)]) },
  };
}

/** Pieces of one text are one text; a thought and what is said stay apart, and so does whatever carries more. */
function joined(parts: readonly Fields[]): Fields[] {
  const whole: Fields[] = [];
  for (const part of parts) {
    const last = whole.at(-1);
    if (last && isPlainText(last) && isPlainText(part) && last.thought === part.thought)
      whole[whole.length - 1] = { ...last, text: `${String(last.text)}${String(part.text)}` };
    else whole.push(part);
  }
  return whole;
}

const isPlainText = (part: Fields) =>
  typeof part.text === 'string' && Object.keys(part).every((name) => name === 'text' || name === 'thought');
