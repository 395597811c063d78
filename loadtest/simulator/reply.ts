import { type Answer, eventStream } from './dialects/endpoint.ts';
import type { ErrorReply } from './dialects/error-body.ts';
import { awsEventStream } from './dialects/event-frames.ts';

/** How a response ends: properly, with a closed or reset connection, or not at all. */
type Ending = 'end' | 'close' | 'reset' | 'hang';

/** A response that has been decided and only has to be sent. */
export interface Reply {
  status: number;
  contentType: string;
  encoding?: 'latin1';
  /** Names and values in turn. */
  headers: string[];
  opening: string;
  pieces: readonly string[];
  closing: string;
  outputTokens: number;
  /** Undefined for a stream. */
  contentLength: number | undefined;
  /** To the first byte. */
  startMs: number;
  perPieceMs: number;
  ending: Ending;
}

export function replyWith(answer: Answer, status: number, headers: string[]): Reply {
  const streamed = [eventStream, awsEventStream].includes(answer.contentType);
  return {
    ...answer,
    status,
    headers,
    contentLength: streamed ? undefined : Buffer.byteLength(answer.opening),
    startMs: 0,
    perPieceMs: 0,
    ending: 'end',
  };
}

export function replyText(status: number, contentType: string, text: string, headers: string[]): Reply {
  return replyWith({ contentType, opening: text, pieces: [], closing: '', outputTokens: 0 }, status, headers);
}

export function replyError(error: ErrorReply, headers: string[] = []): Reply {
  return replyText(error.status, 'application/json', JSON.stringify(error.body), headers);
}
