import { sealOf } from '#shared/translation/sealed.ts';
import {
  type AnswerEnd,
  type AnswerHead,
  type AnswerWriter,
  countsOf,
  type Fields,
  namedEvent,
  type StreamWriter,
} from './answer-writer.ts';
import type { Block } from './blocks.ts';

type Item = Fields & { id: string };
type Status = 'in_progress' | 'completed' | 'incomplete';

const textPart = (text: string) => ({ type: 'output_text', text, annotations: [], logprobs: [] });
const summaryPart = (text: string) => ({ type: 'summary_text', text });

/** The item that a block is, with what there is of it so far. */
function itemOf(head: AnswerHead, block: Block, status: Status): Item {
  const { kind, index, text, callId, name, metadata } = block;
  const begun = status !== 'in_progress';
  if (kind === 'text') {
    const content = begun ? [textPart(text)] : [];
    return { type: 'message', id: `msg_${head.id}_${index}`, status, role: 'assistant', content };
  }
  if (kind === 'tool') {
    const id = `fc_${head.id}_${index}`;
    return { type: 'function_call', id, call_id: callId, name, arguments: begun ? text : '', status };
  }
  const seal = begun ? sealOf(metadata) : undefined;
  const summary = begun && text !== '' ? [summaryPart(text)] : [];
  const encrypted = seal === undefined ? {} : { encrypted_content: seal };
  return { type: 'reasoning', id: `rs_${head.id}_${index}`, summary, ...encrypted };
}

function headOf({ id, createdS, model, asked }: AnswerHead): Fields {
  return {
    id: `resp_${id}`,
    object: 'response',
    created_at: createdS,
    status: 'in_progress',
    error: null,
    incomplete_details: null,
    instructions: asked.instructions ?? null,
    max_output_tokens: asked.max_output_tokens ?? null,
    model,
    output: [],
    parallel_tool_calls: asked.parallel_tool_calls ?? true,
    previous_response_id: null,
    reasoning: asked.reasoning ?? { effort: null, summary: null },
    store: false,
    temperature: asked.temperature ?? null,
    text: asked.text ?? { format: { type: 'text' } },
    tool_choice: asked.tool_choice ?? 'auto',
    tools: asked.tools ?? [],
    top_p: asked.top_p ?? null,
    truncation: 'disabled',
    usage: null,
    metadata: {},
  };
}

const incompleteReasons: Partial<Record<AnswerEnd['reason']['unified'], string>> = {
  length: 'max_output_tokens',
  'content-filter': 'content_filter',
};

function usageOf({ usage }: AnswerEnd): Fields {
  const { input, cacheRead, output, reasoning } = countsOf(usage);
  return {
    input_tokens: input,
    input_tokens_details: { cached_tokens: cacheRead },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: reasoning },
    total_tokens: input + output,
  };
}

const statusOf = ({ reason }: AnswerEnd) => (incompleteReasons[reason.unified] ? 'incomplete' : 'completed');

function whole(head: AnswerHead, blocks: readonly Block[], end: AnswerEnd): Fields {
  const reason = incompleteReasons[end.reason.unified];
  const status = statusOf(end);
  return {
    ...headOf(head),
    status,
    incomplete_details: reason === undefined ? null : { reason },
    output: blocks.map((block, index) =>
      itemOf(head, block, index === blocks.length - 1 ? status : 'completed'),
    ),
    usage: usageOf(end),
  };
}

/** OpenAI responses. */
export const responseWriter: AnswerWriter = { whole, stream: (head) => new ResponseStream(head) };

class ResponseStream implements StreamWriter {
  readonly #head: AnswerHead;
  #sequence = 0;

  constructor(head: AnswerHead) {
    this.#head = head;
  }

  begin(): string {
    const response = headOf(this.#head);
    return this.#event('response.created', { response }) + this.#event('response.in_progress', { response });
  }

  opened(block: Block): string {
    const item = itemOf(this.#head, block, 'in_progress');
    const added = this.#event('response.output_item.added', { output_index: block.index, item });
    const place = this.#place(block);
    if (block.kind === 'text')
      return (
        added + this.#event('response.content_part.added', { ...place, content_index: 0, part: textPart('') })
      );
    if (block.kind === 'tool') return added;
    const part = summaryPart('');
    return added + this.#event('response.reasoning_summary_part.added', { ...place, summary_index: 0, part });
  }

  grew(block: Block, delta: string): string {
    const place = this.#place(block);
    if (block.kind === 'text')
      return this.#event('response.output_text.delta', { ...place, content_index: 0, delta, logprobs: [] });
    if (block.kind === 'tool')
      return this.#event('response.function_call_arguments.delta', { ...place, delta });
    return this.#event('response.reasoning_summary_text.delta', { ...place, summary_index: 0, delta });
  }

  closed(block: Block): string {
    const item = itemOf(this.#head, block, 'completed');
    return (
      this.#textDone(block) + this.#event('response.output_item.done', { output_index: block.index, item })
    );
  }

  finish(blocks: readonly Block[], end: AnswerEnd): string {
    return this.#event(`response.${statusOf(end)}`, { response: whole(this.#head, blocks, end) });
  }

  #textDone(block: Block): string {
    const { kind, text } = block;
    const place = this.#place(block);
    if (kind === 'tool')
      return this.#event('response.function_call_arguments.done', { ...place, arguments: text });
    if (kind === 'text') {
      const at = { ...place, content_index: 0 };
      return (
        this.#event('response.output_text.done', { ...at, text, logprobs: [] }) +
        this.#event('response.content_part.done', { ...at, part: textPart(text) })
      );
    }
    const at = { ...place, summary_index: 0 };
    return (
      this.#event('response.reasoning_summary_text.done', { ...at, text }) +
      this.#event('response.reasoning_summary_part.done', { ...at, part: summaryPart(text) })
    );
  }

  #place(block: Block): Fields {
    return { item_id: itemOf(this.#head, block, 'in_progress').id, output_index: block.index };
  }

  #event(type: string, fields: Fields): string {
    return namedEvent({ type, sequence_number: this.#sequence++, ...fields });
  }
}
