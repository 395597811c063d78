import { sealedBytesOf } from '#shared/translation/sealed.ts';
import {
  type AnswerEnd,
  type AnswerHead,
  type AnswerWriter,
  argumentsOf,
  countsOf,
  type Fields,
  plainEvent,
  type StreamWriter,
} from './answer-writer.ts';
import type { Block } from './blocks.ts';

const finishReasons: Partial<Record<AnswerEnd['reason']['unified'], string>> = {
  length: 'MAX_TOKENS',
  'content-filter': 'SAFETY',
};

/**
 * What Gemini takes for the signature of a call that no Gemini made (its documentation of thought signatures): it refuses
 * such a call without one, should the conversation go on there.
 */
const unsignedCall = 'skip_thought_signature_validator';

function partOf({ kind, text, callId: id, name, metadata }: Block): Fields {
  if (kind === 'text') return { text };
  if (kind === 'tool') {
    const functionCall = { id, name, args: argumentsOf(text) };
    return { functionCall, thoughtSignature: unsignedCall };
  }
  const thoughtSignature = sealedBytesOf(metadata);
  return { text, thought: true, ...(thoughtSignature === undefined ? {} : { thoughtSignature }) };
}

function usageOf({ usage }: AnswerEnd): Fields {
  const { input, cacheRead, output, reasoning } = countsOf(usage);
  return {
    promptTokenCount: input,
    candidatesTokenCount: output - reasoning,
    totalTokenCount: input + output,
    ...(cacheRead > 0 ? { cachedContentTokenCount: cacheRead } : {}),
    ...(reasoning > 0 ? { thoughtsTokenCount: reasoning } : {}),
  };
}

const answer = ({ id, model }: AnswerHead, parts: Fields[], end?: AnswerEnd): Fields => ({
  candidates: [
    {
      content: { role: 'model', parts },
      ...(end ? { finishReason: finishReasons[end.reason.unified] ?? 'STOP' } : {}),
      index: 0,
    },
  ],
  ...(end ? { usageMetadata: usageOf(end) } : {}),
  modelVersion: model,
  responseId: id,
});

/** Gemini. */
export const geminiWriter: AnswerWriter = {
  whole: (head, blocks, end) => answer(head, blocks.map(partOf), end),
  stream: (head) => new GeminiStream(head),
};

/** Every event is an answer of its own, with what is new; a call of a function comes in one piece. */
class GeminiStream implements StreamWriter {
  readonly #head: AnswerHead;

  constructor(head: AnswerHead) {
    this.#head = head;
  }

  begin = () => '';
  opened = () => '';

  grew({ kind }: Block, text: string): string {
    if (kind === 'tool') return '';
    return this.#event(kind === 'text' ? { text } : { text, thought: true });
  }

  closed(block: Block): string {
    if (block.kind === 'tool') return this.#event(partOf(block));
    const thoughtSignature = block.kind === 'reasoning' ? sealedBytesOf(block.metadata) : undefined;
    return thoughtSignature === undefined ? '' : this.#event({ text: '', thought: true, thoughtSignature });
  }

  finish(_blocks: readonly Block[], end: AnswerEnd): string {
    return plainEvent(answer(this.#head, [{ text: '' }], end));
  }

  #event(part: Fields): string {
    return plainEvent(answer(this.#head, [part]));
  }
}
