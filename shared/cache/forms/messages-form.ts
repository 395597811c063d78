import { type AnswerForm, type Fields, isFields, listOf, namedEvent, textOf } from './answer-form.ts';

const cutReasons: readonly unknown[] = ['max_tokens', 'model_context_window_exceeded', 'refusal'];
/** Deltas that continue a text of their block, and the field of the delta and of the block that holds it. */
const textDeltas: Readonly<Record<string, string>> = {
  text_delta: 'text',
  thinking_delta: 'thinking',
  signature_delta: 'signature',
};

/** Anthropic messages. */
export const messagesForm: AnswerForm = {
  endOf({ stop_reason, content }) {
    if (typeof stop_reason !== 'string' || stop_reason === 'pause_turn') return 'unfinished';
    if (cutReasons.includes(stop_reason)) return 'truncated';
    return listOf(content).some(({ type }) => type === 'tool_use') ? 'tools' : 'complete';
  },

  assemble(events) {
    let message: Fields | undefined;
    const content: Fields[] = [];
    const inputs: string[] = [];
    let ended = false;
    for (const event of events) {
      const at = Number(event.index);
      if (event.type === 'message_start' && isFields(event.message)) message = { ...event.message };
      else if (event.type === 'content_block_start' && isFields(event.content_block))
        content[at] = { ...event.content_block };
      else if (event.type === 'content_block_delta') {
        const block = content[at];
        if (!block || !isFields(event.delta) || !addDelta(block, event.delta, inputs, at)) return undefined;
      } else if (event.type === 'message_delta' && message) addEnding(message, event);
      else if (event.type === 'message_stop') ended = true;
    }
    if (!message || !ended || !takeInputs(content, inputs)) return undefined;
    return { ...message, content };
  },

  stream(answer) {
    const { content, stop_reason, stop_sequence = null, usage, ...head } = answer;
    const counted = isFields(usage) ? usage : {};
    const started = {
      ...head,
      content: [],
      stop_reason: null,
      stop_sequence: null,
      usage: { ...counted, output_tokens: Math.min(1, Number(counted.output_tokens ?? 0)) },
    };
    return [
      namedEvent({ type: 'message_start', message: started }),
      ...listOf(content).flatMap(blockEvents),
      namedEvent({ type: 'message_delta', delta: { stop_reason, stop_sequence }, usage: counted }),
      namedEvent({ type: 'message_stop' }),
    ].join('');
  },
};

/** Adds a delta to its block; false for one of a kind that is not known. */
function addDelta(block: Fields, delta: Fields, inputs: string[], at: number): boolean {
  const field = textDeltas[textOf(delta.type)];
  if (field !== undefined) block[field] = textOf(block[field]) + textOf(delta[field]);
  else if (delta.type === 'input_json_delta') inputs[at] = (inputs[at] ?? '') + textOf(delta.partial_json);
  else if (delta.type === 'citations_delta')
    block.citations = [...listOf(block.citations), ...listOf([delta.citation])];
  else return false;
  return true;
}

/** The counts of the last event are those of the whole answer. */
function addEnding(message: Fields, { delta, usage }: Fields): void {
  if (isFields(delta)) Object.assign(message, delta);
  const counted = Object.entries(isFields(usage) ? usage : {}).filter(([, value]) => value !== null);
  message.usage = { ...(isFields(message.usage) ? message.usage : {}), ...Object.fromEntries(counted) };
}

function takeInputs(content: readonly Fields[], inputs: readonly string[]): boolean {
  try {
    for (const [at, text] of inputs.entries()) {
      if (text) content[at]!.input = JSON.parse(text) as unknown;
    }
    return true;
  } catch {
    return false;
  }
}

function blockEvents(block: Fields, index: number): string[] {
  const { empty, deltas } = takenApart(block);
  return [
    namedEvent({ type: 'content_block_start', index, content_block: empty }),
    ...deltas.map((delta) => namedEvent({ type: 'content_block_delta', index, delta })),
    namedEvent({ type: 'content_block_stop', index }),
  ];
}

/** A block as it begins, and what makes it whole. Kinds that come in one piece are their own beginning. */
function takenApart(block: Fields): { empty: Fields; deltas: Fields[] } {
  const { type, text, citations, thinking, signature, input } = block;
  if (type === 'text') {
    const cited = listOf(citations).map((citation) => ({ type: 'citations_delta', citation }));
    const empty = { ...block, text: '', ...(cited.length > 0 ? { citations: [] } : {}) };
    return { empty, deltas: [...cited, { type: 'text_delta', text }] };
  }
  if (type === 'thinking') {
    const empty = { ...block, thinking: '', signature: '' };
    const thought = { type: 'thinking_delta', thinking };
    return { empty, deltas: [thought, { type: 'signature_delta', signature: signature ?? '' }] };
  }
  if (type === 'tool_use' || type === 'server_tool_use') {
    const delta = { type: 'input_json_delta', partial_json: JSON.stringify(input ?? {}) };
    return { empty: { ...block, input: {} }, deltas: [delta] };
  }
  return { empty: block, deltas: [] };
}
