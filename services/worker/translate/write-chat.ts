import { sealOf, sealOfCall } from '#shared/translation/sealed.ts';
import {
  type AnswerEnd,
  type AnswerHead,
  type AnswerWriter,
  countsOf,
  type Fields,
  plainEvent,
  type StreamWriter,
} from './answer-writer.ts';
import type { Block } from './blocks.ts';

const finishReasons: Partial<Record<AnswerEnd['reason']['unified'], string>> = {
  length: 'length',
  'content-filter': 'content_filter',
  'tool-calls': 'tool_calls',
};

/** Reasons that OpenAI has no word for are given the nearest one; the provider's own stands beside it. */
export function chatFinish({ reason }: AnswerEnd): { finish_reason: string; native_finish_reason?: string } {
  const finish_reason = finishReasons[reason.unified] ?? 'stop';
  return reason.raw === undefined ? { finish_reason } : { finish_reason, native_finish_reason: reason.raw };
}

export function chatUsage({ usage }: AnswerEnd): Fields {
  const { input, cacheRead, output, reasoning } = countsOf(usage);
  return {
    prompt_tokens: input,
    completion_tokens: output,
    total_tokens: input + output,
    prompt_tokens_details: { cached_tokens: cacheRead },
    completion_tokens_details: { reasoning_tokens: reasoning },
  };
}

const textOf = (blocks: readonly Block[], kind: Block['kind']) =>
  blocks
    .filter((block) => block.kind === kind)
    .map(({ text }) => text)
    .join('');

/** What must come back with the next turn, so that the model can go on thinking. */
function reasoningDetails(blocks: readonly Block[]): Fields {
  const details = blocks
    .filter(({ kind, metadata }) => kind === 'reasoning' && metadata)
    .map(({ text, metadata }) => ({ type: 'reasoning.text', text, signature: sealOf(metadata) }));
  return details.length === 0 ? {} : { reasoning_details: details };
}

function sealed({ metadata }: Block): Fields {
  const seal = sealOfCall(metadata);
  return seal === undefined ? {} : { extra_content: { sluice: seal } };
}

function messageOf(blocks: readonly Block[]): Fields {
  const reasoning = textOf(blocks, 'reasoning');
  const calls = blocks.filter(({ kind }) => kind === 'tool');
  const text = textOf(blocks, 'text');
  return {
    role: 'assistant',
    content: text === '' && calls.length > 0 ? null : text,
    refusal: null,
    ...(reasoning === '' ? {} : { reasoning_content: reasoning }),
    ...reasoningDetails(blocks),
    ...(calls.length === 0 ? {} : { tool_calls: calls.map(toolCallOf) }),
  };
}

const toolCallOf = (block: Block) => ({
  id: block.callId,
  type: 'function',
  function: { name: block.name, arguments: block.text },
  ...sealed(block),
});

const headOf = ({ id, createdS, model }: AnswerHead, object: string) => ({
  id: `chatcmpl-${id}`,
  object,
  created: createdS,
  model,
});

/** OpenAI chat completions. Reasoning goes where DeepSeek put it and others followed, `reasoning_content`. */
export const chatWriter: AnswerWriter = {
  whole: (head, blocks, end) => ({
    ...headOf(head, 'chat.completion'),
    choices: [{ index: 0, message: messageOf(blocks), logprobs: null, ...chatFinish(end) }],
    usage: chatUsage(end),
  }),
  stream: (head) => new ChatStream(head),
};

class ChatStream implements StreamWriter {
  readonly #head: AnswerHead;

  constructor(head: AnswerHead) {
    this.#head = head;
  }

  begin(): string {
    return this.#chunk({ role: 'assistant', content: '', refusal: null });
  }

  opened({ kind, toolIndex: index, callId: id, name }: Block): string {
    if (kind !== 'tool') return '';
    return this.#chunk({ tool_calls: [{ index, id, type: 'function', function: { name, arguments: '' } }] });
  }

  grew({ kind, toolIndex: index }: Block, delta: string): string {
    if (kind === 'text') return this.#chunk({ content: delta });
    if (kind === 'reasoning') return this.#chunk({ reasoning_content: delta });
    return this.#chunk({ tool_calls: [{ index, function: { arguments: delta } }] });
  }

  closed(block: Block): string {
    const seal = block.kind === 'tool' ? sealed(block) : {};
    if (!seal.extra_content) return '';
    return this.#chunk({ tool_calls: [{ index: block.toolIndex, ...seal }] });
  }

  finish(blocks: readonly Block[], end: AnswerEnd): string {
    const last = this.#chunk(reasoningDetails(blocks), chatFinish(end));
    const usage = { ...headOf(this.#head, 'chat.completion.chunk'), choices: [], usage: chatUsage(end) };
    return `${last}${this.#head.showUsage ? plainEvent(usage) : ''}data: [DONE]\n\n`;
  }

  #chunk(delta: Fields, finish: Fields = { finish_reason: null }): string {
    const choices = [{ index: 0, delta, logprobs: null, ...finish }];
    const usage = this.#head.showUsage ? { usage: null } : {};
    return plainEvent({ ...headOf(this.#head, 'chat.completion.chunk'), choices, ...usage });
  }
}
