import { sealOf, sealOfCall } from '#shared/translation/sealed.ts';
import {
  type AnswerEnd,
  type AnswerHead,
  type AnswerWriter,
  argumentsOf,
  countsOf,
  type Fields,
  namedEvent,
  type StreamWriter,
} from './answer-writer.ts';
import type { Block } from './blocks.ts';

const stopReasons: Partial<Record<AnswerEnd['reason']['unified'], string>> = {
  length: 'max_tokens',
  'content-filter': 'refusal',
  'tool-calls': 'tool_use',
};

const stopOf = ({ reason }: AnswerEnd) => ({
  stop_reason: stopReasons[reason.unified] ?? 'end_turn',
  stop_sequence: null,
});

function usageOf({ usage }: AnswerEnd): Fields {
  const { input, cacheRead, cacheWrite, output } = countsOf(usage);
  return {
    input_tokens: Math.max(0, input - cacheRead - cacheWrite),
    cache_creation_input_tokens: cacheWrite,
    cache_read_input_tokens: cacheRead,
    output_tokens: output,
  };
}

/** A signature is what Anthropic's clients give back untouched. */
const signatureOf = ({ metadata }: Block) => sealOf(metadata) ?? '';

/** The signature of a tool's call goes before it, as thinking that nobody can read: clients give that back, too. */
function sealBlock({ kind, metadata }: Block): Fields[] {
  const data = kind === 'tool' ? sealOfCall(metadata) : undefined;
  return data === undefined ? [] : [{ type: 'redacted_thinking', data }];
}

function contentOf(block: Block): Fields[] {
  const { kind, text, callId, name } = block;
  if (kind === 'text') return [{ type: 'text', text }];
  if (kind === 'reasoning') return [{ type: 'thinking', thinking: text, signature: signatureOf(block) }];
  return [...sealBlock(block), { type: 'tool_use', id: callId, name, input: argumentsOf(text) }];
}

const headOf = ({ id, model }: AnswerHead) => ({
  id: `msg_${id}`,
  type: 'message',
  role: 'assistant',
  model,
});

/** Anthropic messages. */
export const messageWriter: AnswerWriter = {
  whole: (head, blocks, end) => ({
    ...headOf(head),
    content: blocks.flatMap(contentOf),
    ...stopOf(end),
    usage: usageOf(end),
  }),
  stream: (head) => new MessageStream(head),
};

const noUsage = {
  input_tokens: 0,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 0,
  output_tokens: 0,
};
const emptyBlocks: Record<Block['kind'], (block: Block) => Fields> = {
  text: () => ({ type: 'text', text: '' }),
  reasoning: () => ({ type: 'thinking', thinking: '', signature: '' }),
  tool: ({ callId, name }) => ({ type: 'tool_use', id: callId, name, input: {} }),
};

/** The input is counted by most providers at the end only, so the whole usage stands in the last event. */
class MessageStream implements StreamWriter {
  readonly #head: AnswerHead;
  /** Place of the open block among those that were written. */
  #index = -1;

  constructor(head: AnswerHead) {
    this.#head = head;
  }

  begin(): string {
    const message = {
      ...headOf(this.#head),
      content: [],
      stop_reason: null,
      stop_sequence: null,
      usage: noUsage,
    };
    return namedEvent({ type: 'message_start', message });
  }

  opened(block: Block): string {
    const seals = sealBlock(block).map((sealed) => this.#start(sealed) + this.#stop());
    return seals.join('') + this.#start(emptyBlocks[block.kind](block));
  }

  grew({ kind }: Block, text: string): string {
    if (kind === 'text') return this.#delta({ type: 'text_delta', text });
    if (kind === 'reasoning') return this.#delta({ type: 'thinking_delta', thinking: text });
    return this.#delta({ type: 'input_json_delta', partial_json: text });
  }

  closed(block: Block): string {
    const signature = block.kind === 'reasoning' ? signatureOf(block) : '';
    const signed = signature === '' ? '' : this.#delta({ type: 'signature_delta', signature });
    return signed + this.#stop();
  }

  finish(_blocks: readonly Block[], end: AnswerEnd): string {
    const delta = stopOf(end);
    return (
      namedEvent({ type: 'message_delta', delta, usage: usageOf(end) }) + namedEvent({ type: 'message_stop' })
    );
  }

  #start(content_block: Fields): string {
    return namedEvent({ type: 'content_block_start', index: ++this.#index, content_block });
  }

  #stop(): string {
    return namedEvent({ type: 'content_block_stop', index: this.#index });
  }

  #delta(delta: Fields): string {
    return namedEvent({ type: 'content_block_delta', index: this.#index, delta });
  }
}
