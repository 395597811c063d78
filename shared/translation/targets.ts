import type { CallOptions, FilePart, Message, ReadCall } from './call.ts';
import { untranslatable } from './fields.ts';

/** What a provider's dialect has no word for, or says otherwise than the options between the dialects do. */
interface Target {
  /** A maximum of output tokens must be named. */
  wantsMaximum: boolean;
  lacks: readonly (keyof CallOptions)[];
  /** System messages stand before the conversation, not inside it. */
  systemFirst: boolean;
  /** JSON without a schema is asked for in words. */
  jsonInWords: boolean;
  temperatureMax: number;
  /** Whether it can be told who asks, and that one tool is to be called at a time (Bedrock: of Claude). */
  knows: { user: boolean; oneTool: boolean };
  /** Thinking goes on through calls of tools only with what was thought before them. */
  thinksFromTheStart: boolean;
  /** Kinds of files, by the first part of their type; `url`: also by address. */
  takes: (type: string, byUrl: boolean) => boolean;
}

const anthropicFiles = ['application/pdf', 'text/plain'];
const bedrockDocuments = ['application/pdf', 'text/plain', 'text/csv', 'text/html', 'text/markdown'];
const isImage = (type: string) => type.startsWith('image/');

const targets = {
  openai: {
    wantsMaximum: false,
    lacks: ['topK'],
    systemFirst: false,
    jsonInWords: false,
    knows: { user: true, oneTool: true },
    temperatureMax: 2,
    thinksFromTheStart: false,
    takes: (type, byUrl) => isImage(type) || (type === 'application/pdf' && !byUrl),
  },
  anthropic: {
    wantsMaximum: true,
    lacks: ['presencePenalty', 'frequencyPenalty', 'seed'],
    systemFirst: true,
    jsonInWords: true,
    knows: { user: true, oneTool: true },
    temperatureMax: 1,
    thinksFromTheStart: true,
    takes: (type) => isImage(type) || anthropicFiles.includes(type),
  },
  gemini: {
    wantsMaximum: false,
    lacks: [],
    systemFirst: true,
    jsonInWords: false,
    knows: { user: false, oneTool: false },
    temperatureMax: 2,
    thinksFromTheStart: false,
    takes: () => true,
  },
  bedrock: {
    // Left out, the most that the model can produce is reserved.
    wantsMaximum: true,
    lacks: ['presencePenalty', 'frequencyPenalty', 'seed'],
    systemFirst: true,
    jsonInWords: true,
    knows: { user: false, oneTool: true },
    temperatureMax: 1,
    thinksFromTheStart: true,
    // Converse takes bytes or a place in S3, and nothing is fetched on behalf of a caller.
    takes: (type, byUrl) => !byUrl && (isImage(type) || bedrockDocuments.includes(type)),
  },
} satisfies Record<string, Target>;

const jsonInWords = 'Answer with one JSON object and nothing else: no explanation and no code fence.';

/** Fits a call to the dialect of its provider. @throws SluiceError not_translatable */
export function fitTo(dialect: keyof typeof targets, call: ReadCall, maxTokensDefault: number): void {
  const target: Target = targets[dialect];
  const { options } = call;
  if (target.wantsMaximum) options.maxOutputTokens ??= maxTokensDefault;
  for (const option of target.lacks) leaveOut(option, call);
  if (options.temperature !== undefined && options.temperature > target.temperatureMax) {
    options.temperature = target.temperatureMax;
    call.dropped.add('temperature');
  }
  if (target.thinksFromTheStart && hasUnthoughtCalls(options.prompt)) leaveOut('reasoning', call);
  if (target.jsonInWords && options.responseFormat?.type === 'json' && !options.responseFormat.schema) {
    options.prompt.push({ role: 'system', content: jsonInWords });
    delete options.responseFormat;
  }
  if (target.systemFirst) options.prompt = withSystemFirst(options.prompt);
  options.prompt = withToolTurns(options.prompt);
  for (const file of filesOf(options.prompt)) refuseFile(file, target, dialect);
  if (call.user && !target.knows.user) call.dropped.add(call.user.param);
  if (call.oneTool && !target.knows.oneTool) call.dropped.add(call.oneTool);
  options.providerOptions = providerOptionsOf(call);
}

/** Leaves an option out, and tells the caller in its own words. */
function leaveOut(option: keyof CallOptions, call: ReadCall): void {
  if (call.options[option] === undefined) return;
  delete call.options[option];
  call.dropped.add(call.names[option] ?? option);
}

/** What systems say stands in front, in one piece; where in the conversation it was said is lost. */
function withSystemFirst(prompt: Message[]): Message[] {
  const said = prompt.flatMap((message) => (message.role === 'system' ? [message.content] : []));
  if (said.length === 0) return prompt;
  const others = prompt.filter(({ role }) => role !== 'system');
  return [{ role: 'system', content: said.join('\n\n') }, ...others];
}

/** The answers of tools that were called together are one turn: Gemini counts them. */
function withToolTurns(prompt: Message[]): Message[] {
  const turns: Message[] = [];
  for (const message of prompt) {
    const last = turns.at(-1);
    if (message.role === 'tool' && last?.role === 'tool')
      turns[turns.length - 1] = { ...last, content: [...last.content, ...message.content] };
    else turns.push(message);
  }
  return turns;
}

/** Whether tools were called since the user spoke, by a turn whose thoughts are not here. */
function hasUnthoughtCalls(prompt: Message[]): boolean {
  const spoken = prompt.findLastIndex(({ role }) => role === 'user');
  return prompt
    .slice(spoken + 1)
    .some(
      ({ role, content }) =>
        role === 'assistant' &&
        content.some(({ type }) => type === 'tool-call') &&
        !content.some(({ type, providerOptions }) => type === 'reasoning' && providerOptions !== undefined),
    );
}

type AnyFile = Pick<FilePart, 'mediaType' | 'data'>;

function filesOf(prompt: Message[]): AnyFile[] {
  return prompt.flatMap((message): AnyFile[] => {
    if (message.role === 'user') return message.content.filter((part) => part.type === 'file');
    if (message.role !== 'tool') return [];
    return message.content.flatMap((part) =>
      part.type === 'tool-result' && part.output.type === 'content'
        ? part.output.value.filter((each) => each.type === 'file')
        : [],
    );
  });
}

function refuseFile({ mediaType, data }: AnyFile, target: Target, dialect: string): void {
  const byUrl = data.type === 'url';
  if (target.takes(mediaType, byUrl)) return;
  const form = byUrl ? 'by its URL; give it inline' : '';
  throw untranslatable('messages', `a ${dialect} provider takes no ${mediaType} ${form}`.trim());
}

function providerOptionsOf({ oneTool, user }: ReadCall): CallOptions['providerOptions'] {
  return {
    openai: {
      strictJsonSchema: true,
      ...(user ? { user: user.id } : {}),
      ...(oneTool ? { parallelToolCalls: false } : {}),
    },
    compatible: {
      ...(user ? { user: user.id } : {}),
      ...(oneTool ? { parallel_tool_calls: false } : {}),
    },
    anthropic: {
      toolStreaming: false,
      ...(user ? { metadata: { userId: user.id } } : {}),
      ...(oneTool ? { disableParallelToolUse: true } : {}),
    },
  };
}
