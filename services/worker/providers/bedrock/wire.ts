import type { Usage } from '#shared/contracts/job.ts';
import { type Fields, objectOf, type StreamReader, textOf } from '../stream-reader.ts';
import { partsOf, tokenCount, type WireFormat } from '../wire-format.ts';

/** `inputTokens` leaves out what the prompt cache wrote and read. */
function readUsage(answer: Fields): Usage | undefined {
  const usage = objectOf(answer.usage);
  const uncached = tokenCount(usage?.inputTokens);
  const outputTokens = tokenCount(usage?.outputTokens);
  if (uncached === undefined || outputTokens === undefined) return undefined;
  const read = tokenCount(usage!.cacheReadInputTokens) ?? 0;
  const written = tokenCount(usage!.cacheWriteInputTokens) ?? 0;
  const parts = partsOf({ cachedInputTokens: read, cacheWriteTokens: written });
  return { inputTokens: uncached + read + written, outputTokens, ...parts };
}

/** Events are objects with their own type as the only field, as the decoder puts them together. */
const readConverseEvent: StreamReader = (data) => {
  const exception = Object.keys(data).find((name) => name.endsWith('Exception'));
  if (exception !== undefined) return { error: { ...objectOf(data[exception]), type: exception } };
  const delta = objectOf(objectOf(data.contentBlockDelta)?.delta);
  if (delta) {
    const reasoning = objectOf(delta.reasoningContent);
    const tool = objectOf(delta.toolUse);
    return { text: textOf(delta.text) + textOf(reasoning?.text) + textOf(tool?.input) };
  }
  if (data.messageStop !== undefined) return { finished: true };
  const metadata = objectOf(data.metadata);
  if (!metadata) return {};
  const usage = readUsage(metadata);
  return { over: true, ...(usage ? { usage } : {}) };
};

export const bedrockWire: WireFormat = {
  readUsage,
  isAnswer: (_operation, answer) => objectOf(objectOf(answer.output)?.message) !== undefined,
  streamReader: () => readConverseEvent,
  errorBody: ({ message, type }) => ({ message, __type: type }),
};
