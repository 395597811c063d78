import type { Usage } from '#shared/contracts/job.ts';
import { type Fields, objectOf, type StreamReader, textOf } from '../stream-reader.ts';

/** Messages: the input is counted at the start, the output at the end. */
export function readMessageEvent(usageOf: (answer: Fields) => Partial<Usage> | undefined): StreamReader {
  return (data) => {
    switch (data.type) {
      case 'error':
        return { error: objectOf(data.error) ?? data };
      case 'message_stop':
        return { over: true };
      case 'message_start':
      case 'message_delta': {
        const usage = usageOf(objectOf(data.message) ?? data);
        return usage ? { usage } : {};
      }
      case 'content_block_delta': {
        const delta = objectOf(data.delta);
        return { text: textOf(delta?.text) + textOf(delta?.partial_json) + textOf(delta?.thinking) };
      }
      default:
        return {};
    }
  };
}
