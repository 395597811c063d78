import type { Usage } from '#shared/contracts/job.ts';
import { fieldsOf, partsOf, tokenCount, type WireFormat } from '../wire-format.ts';
import { readMessageEvent } from './read-events.ts';

/** What an answer, or one event of a stream, says of its tokens; each half may be missing. */
function readParts(answer: Record<string, unknown>): Partial<Usage> {
  const usage = fieldsOf(answer.usage);
  const uncached = tokenCount(usage.input_tokens);
  const outputTokens = tokenCount(usage.output_tokens);
  // `input_tokens` leaves out what the prompt cache wrote and read.
  const written = tokenCount(usage.cache_creation_input_tokens) ?? 0;
  const read = tokenCount(usage.cache_read_input_tokens) ?? 0;
  return {
    ...(uncached === undefined ? {} : { inputTokens: uncached + written + read }),
    ...(outputTokens === undefined ? {} : { outputTokens }),
    ...partsOf({
      cachedInputTokens: read,
      cacheWriteTokens: written,
      cacheWriteLongTokens: fieldsOf(usage.cache_creation).ephemeral_1h_input_tokens,
      reasoningTokens: fieldsOf(usage.output_tokens_details).thinking_tokens,
    }),
  };
}

export const anthropicWire: WireFormat = {
  readUsage(answer) {
    const { inputTokens, outputTokens, ...parts } = readParts(answer);
    if (inputTokens === undefined || outputTokens === undefined) return undefined;
    return { inputTokens, outputTokens, ...parts };
  },
  isAnswer(operation, answer) {
    if (operation === '/v1/messages/count_tokens') return tokenCount(answer.input_tokens) !== undefined;
    return answer.type === 'message' && Array.isArray(answer.content);
  },
  streamReader: () => readMessageEvent(readParts),
  errorBody: (error) => ({ type: 'error', error }),
};
