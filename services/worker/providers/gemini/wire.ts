import type { Usage } from '#shared/contracts/job.ts';
import { type Fields, listOf, objectOf, type StreamReader, textOf } from '../stream-reader.ts';
import { partsOf, tokenCount, type WireFormat } from '../wire-format.ts';

/** What an answer, or one event of a stream, says of its tokens; each half may be missing. */
function readParts(answer: Fields): Partial<Usage> {
  const usage = objectOf(answer.usageMetadata);
  const prompt = tokenCount(usage?.promptTokenCount);
  if (prompt === undefined) return {};
  const { candidatesTokenCount, thoughtsTokenCount, toolUsePromptTokenCount } = usage!;
  // Thoughts are counted beside the candidates, and what tools put into the prompt beside the prompt.
  const written = tokenCount(candidatesTokenCount);
  const thought = tokenCount(thoughtsTokenCount);
  return {
    inputTokens: prompt + (tokenCount(toolUsePromptTokenCount) ?? 0),
    ...(written === undefined && thought === undefined
      ? {}
      : { outputTokens: (written ?? 0) + (thought ?? 0) }),
    ...partsOf({ cachedInputTokens: usage!.cachedContentTokenCount, reasoningTokens: thought }),
  };
}

/** Every event is a whole answer of its own, with the parts that are new; a prompt that was refused has no candidates. */
const readAnswerEvent: StreamReader = (data) => {
  const error = objectOf(data.error);
  if (error) return { error };
  const candidates = listOf(data.candidates);
  const isBlocked = objectOf(data.promptFeedback)?.blockReason !== undefined;
  return {
    text: candidates.map(textOfCandidate).join(''),
    usage: readParts(data),
    ...(isBlocked || candidates.some(({ finishReason }) => finishReason !== undefined)
      ? { finished: true }
      : {}),
  };
};

function textOfCandidate({ content }: Fields): string {
  const parts = listOf(objectOf(content)?.parts);
  return parts
    .map(({ text, functionCall }) => {
      const args = objectOf(functionCall)?.args;
      return textOf(text) + (args === undefined ? '' : JSON.stringify(args));
    })
    .join('');
}

export const geminiWire: WireFormat = {
  readUsage(answer) {
    const { inputTokens, outputTokens = 0, ...parts } = readParts(answer);
    return inputTokens === undefined ? undefined : { inputTokens, outputTokens, ...parts };
  },
  isAnswer(operation, answer) {
    if (operation.endsWith(':countTokens')) return tokenCount(answer.totalTokens) !== undefined;
    if (operation.endsWith(':embedContent')) return objectOf(answer.embedding) !== undefined;
    if (operation.endsWith(':batchEmbedContents')) return Array.isArray(answer.embeddings);
    return Array.isArray(answer.candidates) || objectOf(answer.promptFeedback) !== undefined;
  },
  streamReader: () => readAnswerEvent,
  errorBody: (error) => ({ error }),
};
