import {
  type AnswerEnd,
  type AnswerHead,
  type AnswerWriter,
  type Fields,
  plainEvent,
  type StreamWriter,
} from './answer-writer.ts';
import type { Block } from './blocks.ts';
import { chatFinish, chatUsage } from './write-chat.ts';

const headOf = ({ id, createdS, model }: AnswerHead) => ({
  id: `cmpl-${id}`,
  object: 'text_completion',
  created: createdS,
  model,
});
const choiceOf = (text: string, finish: Fields) => ({ text, index: 0, logprobs: null, ...finish });

/** OpenAI completions: the text alone. */
export const completionWriter: AnswerWriter = {
  whole: (head, blocks, end) => ({
    ...headOf(head),
    choices: [
      choiceOf(blocks.map(({ kind, text }) => (kind === 'text' ? text : '')).join(''), chatFinish(end)),
    ],
    usage: chatUsage(end),
  }),
  stream: (head) => new CompletionStream(head),
};

class CompletionStream implements StreamWriter {
  readonly #head: AnswerHead;

  constructor(head: AnswerHead) {
    this.#head = head;
  }

  begin = () => '';
  opened = () => '';
  closed = () => '';

  grew({ kind }: Block, delta: string): string {
    return kind === 'text' ? this.#chunk([choiceOf(delta, { finish_reason: null })], null) : '';
  }

  finish(_blocks: readonly Block[], end: AnswerEnd): string {
    const last = this.#chunk([choiceOf('', chatFinish(end))], null);
    return `${last}${this.#head.showUsage ? this.#chunk([], chatUsage(end)) : ''}data: [DONE]\n\n`;
  }

  #chunk(choices: Fields[], usage: Fields | null): string {
    return plainEvent({ ...headOf(this.#head), choices, ...(this.#head.showUsage ? { usage } : {}) });
  }
}
