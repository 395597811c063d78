import type { Usage } from '#shared/contracts/job.ts';

type Fields = Record<string, unknown>;

/** What one event of a provider's stream says. Anything left out it does not say. */
export interface StreamEventSense {
  /** The answer is whole with this event, although more (usage, an end mark) may follow. */
  finished?: boolean;
  /** Nothing follows. */
  over?: boolean;
  /** The provider gives up: the error it names. */
  error?: Fields;
  /** Text (or arguments of a tool) that the event adds, for counting. */
  text?: string;
  /** Tokens known so far. */
  usage?: Partial<Usage>;
  /** The event holds nothing but usage. */
  onlyUsage?: boolean;
}

/** Reads the events of one streaming endpoint. Pure; `data` is the parsed JSON of the event. */
export type StreamReader = (data: Fields) => StreamEventSense;

const object = (value: unknown): Fields | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
const string = (value: unknown) => (typeof value === 'string' ? value : '');

/** Chat completions, and completions, which differ in where the text stands. */
export function readChatEvent(usageOf: (answer: Fields) => Usage | undefined): StreamReader {
  return (data) => {
    const error = object(data.error);
    if (error) return { error };
    const choices = Array.isArray(data.choices) ? data.choices.map(object) : [];
    const sense: StreamEventSense = {};
    for (const choice of choices) {
      const delta = object(choice?.delta);
      sense.text = (sense.text ?? '') + string(delta?.content) + string(choice?.text) + toolText(delta);
      if (typeof choice?.finish_reason === 'string') sense.finished = true;
    }
    const usage = usageOf(data);
    if (usage) {
      sense.usage = usage;
      sense.onlyUsage = choices.length === 0;
    }
    return sense;
  };
}

function toolText(delta: Fields | undefined): string {
  const calls = Array.isArray(delta?.tool_calls) ? delta.tool_calls : [];
  const texts = calls
    .map((call) => object(object(call)?.function))
    .map((called) => string(called?.arguments));
  return texts.join('') + string(delta?.reasoning_content);
}

const responseEndings = ['response.completed', 'response.incomplete', 'response.failed'];

/** The Responses API: typed events. */
export function readResponseEvent(usageOf: (answer: Fields) => Usage | undefined): StreamReader {
  return (data) => {
    const type = string(data.type);
    if (type === 'error') return { error: object(data.error) ?? data };
    if (type.endsWith('.delta')) return { text: string(data.delta) };
    if (!responseEndings.includes(type)) return {};
    const usage = usageOf(object(data.response) ?? {});
    return { over: true, ...(usage ? { usage } : {}) };
  };
}

/** Anthropic messages: the input is counted at the start, the output at the end. */
export function readMessageEvent(usageOf: (answer: Fields) => Partial<Usage> | undefined): StreamReader {
  return (data) => {
    switch (data.type) {
      case 'error':
        return { error: object(data.error) ?? data };
      case 'message_stop':
        return { over: true };
      case 'message_start':
      case 'message_delta': {
        const usage = usageOf(object(data.message) ?? data);
        return usage ? { usage } : {};
      }
      case 'content_block_delta': {
        const delta = object(data.delta);
        return { text: string(delta?.text) + string(delta?.partial_json) + string(delta?.thinking) };
      }
      default:
        return {};
    }
  };
}
