import type {
  LanguageModelV4Content,
  LanguageModelV4StreamPart,
  SharedV4ProviderMetadata,
} from '@ai-sdk/provider';

export type StreamPart = LanguageModelV4StreamPart;
export type Content = LanguageModelV4Content;
export type BlockKind = 'text' | 'reasoning' | 'tool';

/** One piece of an answer: text, what was thought, or a call of a tool. */
export interface Block {
  kind: BlockKind;
  /** Place in the answer. */
  index: number;
  /** Place among the calls of tools. */
  toolIndex: number;
  /** Id of the call; empty for other kinds. */
  callId: string;
  /** Name of the tool; empty for other kinds. */
  name: string;
  /** Text so far; the arguments, as JSON, of a tool. */
  text: string;
  /** What only its provider understands, such as a signature. */
  metadata: SharedV4ProviderMetadata | undefined;
}

/** Turns what happens to blocks into text of a dialect. */
export interface BlockEvents {
  opened(block: Block): string;
  grew(block: Block, delta: string): string;
  closed(block: Block): string;
}

/** A stream whose parts fit no dialect. */
export class PartsOutOfOrder extends Error {}

/**
 * The blocks of an answer, one after the other. Providers leave a block open while they begin the next one (OpenAI ends no
 * text before its stream ends); the dialects of callers have one open at a time.
 */
export class BlockSequence {
  readonly blocks: Block[] = [];
  readonly #events: BlockEvents;
  readonly #byKey = new Map<string, Block>();
  #open: Block | undefined;
  #tools = 0;

  constructor(events: BlockEvents) {
    this.#events = events;
  }

  /** What a part means for the blocks, in the dialect. @throws PartsOutOfOrder */
  take(part: StreamPart): string {
    if (part.type === 'text-delta') return this.#grow('text', part.id, part.delta, part.providerMetadata);
    if (part.type === 'reasoning-delta')
      return this.#grow('reasoning', part.id, part.delta, part.providerMetadata);
    if (part.type === 'reasoning-start' || part.type === 'reasoning-end')
      return this.#grow('reasoning', part.id, '', part.providerMetadata);
    if (part.type === 'tool-input-start')
      return this.#openNew('tool', part.id, part.toolName, part.providerMetadata);
    if (part.type === 'tool-input-delta') return this.#growTool(part.id, part.delta);
    return part.type === 'tool-call' ? this.#called(part) : '';
  }

  /** Closes what is open. */
  end(): string {
    const block = this.#open;
    if (!block) return '';
    this.#open = undefined;
    // A tool without arguments has some in every dialect.
    const filled = block.kind === 'tool' && block.text === '' ? this.#add(block, '{}') : '';
    return filled + this.#events.closed(block);
  }

  #grow(kind: BlockKind, id: string, delta: string, metadata: SharedV4ProviderMetadata | undefined): string {
    const known = this.#byKey.get(`${kind} ${id}`);
    if (known && metadata) known.metadata = { ...known.metadata, ...metadata };
    if (delta === '' && (known || !metadata)) return '';
    if (known && known === this.#open) return this.#add(known, delta);
    const opened = this.#openNew(kind, id, '', metadata);
    return delta === '' ? opened : opened + this.#add(this.#open!, delta);
  }

  #growTool(id: string, delta: string): string {
    const block = this.#byKey.get(`tool ${id}`);
    if (!block || block !== this.#open) throw new PartsOutOfOrder('calls of tools are interleaved');
    return delta === '' ? '' : this.#add(block, delta);
  }

  #called({
    toolCallId,
    toolName,
    input,
    providerMetadata,
  }: Extract<StreamPart, { type: 'tool-call' }>): string {
    const known = this.#byKey.get(`tool ${toolCallId}`);
    if (!known) {
      const opened = this.#openNew('tool', toolCallId, toolName, providerMetadata);
      return opened + this.#add(this.#open!, input) + this.end();
    }
    if (providerMetadata) known.metadata = { ...known.metadata, ...providerMetadata };
    if (known !== this.#open) return '';
    const filled = known.text === '' && input !== '' ? this.#add(known, input) : '';
    return filled + this.end();
  }

  #openNew(
    kind: BlockKind,
    id: string,
    name: string,
    metadata: SharedV4ProviderMetadata | undefined,
  ): string {
    const closed = this.end();
    const toolIndex = kind === 'tool' ? this.#tools++ : -1;
    const callId = kind === 'tool' ? id : '';
    const block: Block = { kind, index: this.blocks.length, toolIndex, callId, name, text: '', metadata };
    this.blocks.push(block);
    this.#byKey.set(`${kind} ${id}`, block);
    this.#open = block;
    return closed + this.#events.opened(block);
  }

  #add(block: Block, delta: string): string {
    block.text += delta;
    return this.#events.grew(block, delta);
  }
}

const silent: BlockEvents = { opened: () => '', grew: () => '', closed: () => '' };

/** The blocks of an answer that came whole. */
export function blocksOf(content: readonly Content[]): Block[] {
  const sequence = new BlockSequence(silent);
  for (const [index, part] of content.entries()) {
    const id = String(index);
    if (part.type === 'text') sequence.take({ type: 'text-delta', id, delta: part.text });
    else if (part.type === 'tool-call') sequence.take(part);
    else if (part.type === 'reasoning') {
      const { text: delta, providerMetadata } = part;
      sequence.take({
        type: 'reasoning-delta',
        id,
        delta,
        ...(providerMetadata ? { providerMetadata } : {}),
      });
    }
  }
  sequence.end();
  return sequence.blocks;
}
