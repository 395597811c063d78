import type { Usage } from '#shared/contracts/job.ts';
import {
  type Fields,
  listOf,
  objectOf,
  type StreamEventSense,
  type StreamReader,
  textOf,
} from '../stream-reader.ts';

type UsageOf = (answer: Fields) => Usage | undefined;

/** OpenRouter ends a stream that failed upstream with this reason; what it says of the error may be missing. */
const failedMidway = { message: 'the stream ended with finish_reason "error"' };

/** Chat completions, and completions, which differ in where the text stands. */
export function readChatEvent(usageOf: UsageOf): StreamReader {
  return (data) => {
    const error = objectOf(data.error);
    if (error) return { error };
    const choices = listOf(data.choices);
    if (choices.some(({ finish_reason }) => finish_reason === 'error')) return { error: failedMidway };
    const sense: StreamEventSense = {};
    for (const choice of choices) {
      const delta = objectOf(choice.delta);
      sense.text = (sense.text ?? '') + textOf(delta?.content) + textOf(choice.text) + toolText(delta);
      if (typeof choice.finish_reason === 'string') sense.finished = true;
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
  const texts = listOf(delta?.tool_calls)
    .map((call) => objectOf(call.function))
    .map((called) => textOf(called?.arguments));
  return texts.join('') + textOf(delta?.reasoning_content);
}

const responseEndings = ['response.completed', 'response.incomplete', 'response.failed'];

/** The Responses API: typed events. */
export function readResponseEvent(usageOf: UsageOf): StreamReader {
  return (data) => {
    const type = textOf(data.type);
    if (type === 'error') return { error: objectOf(data.error) ?? data };
    if (type.endsWith('.delta')) return { text: textOf(data.delta) };
    if (!responseEndings.includes(type)) return {};
    const usage = usageOf(objectOf(data.response) ?? {});
    return { over: true, ...(usage ? { usage } : {}) };
  };
}
