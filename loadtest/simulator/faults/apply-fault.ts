import type { Dialect } from '../dialects/endpoint.ts';
import { errorBody } from '../dialects/error-body.ts';
import { eventFrame } from '../dialects/event-frames.ts';
import { refusalOfKind } from '../dialects/refusals.ts';
import { type Reply, replyError, replyText } from '../reply.ts';
import type { Fault } from './fault-schema.ts';

const defaultChunksBeforeClose = 2;
const garbageEvent = 'data: {"id": "chatcmp\n\n';
const htmlPage =
  '<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n';

interface FaultedCall {
  dialect: Dialect;
  model: string;
  requestId: string;
}

/** What the fault sends instead of the answer, or undefined if the answer itself is to go out. */
export function replacementReply(fault: Fault, call: FaultedCall, headers: string[]): Reply | undefined {
  if (fault.dropBeforeResponse || fault.hang) {
    const nothing = replyText(0, '', '', []);
    return { ...nothing, ending: fault.hang ? 'hang' : 'reset' };
  }
  if (fault.body !== undefined) {
    const text = typeof fault.body === 'string' ? fault.body : JSON.stringify(fault.body);
    return replyText(fault.status ?? 200, 'application/json', text, headers);
  }
  if (fault.html) return replyText(fault.status ?? 502, 'text/html', htmlPage, headers);
  if (fault.garbage) return replyText(fault.status ?? 200, 'application/json', '{"id": "chatcmp', headers);
  if (fault.kind) {
    const { status, retryAfterMs } = fault;
    return replyError(refusalOfKind(fault.kind, { ...call, status, retryAfterMs }), headers);
  }
  if (fault.status === undefined || fault.status < 300) return undefined;
  if (fault.status === 429) {
    const { status, retryAfterMs } = fault;
    return replyError(refusalOfKind('quota', { ...call, status, retryAfterMs }), headers);
  }
  const message = `The simulator was asked for status ${fault.status}.`;
  const body = errorBody(call.dialect, fault.status, message, call.requestId);
  return replyError({ status: fault.status, body }, headers);
}

/** Bends a reply as the fault says: its headers, its delay and how it ends. */
export function bendReply(reply: Reply, fault: Fault, call: FaultedCall): Reply {
  const headers = bentHeaders(reply.headers, fault);
  const named = Object.entries(fault.headers ?? {}).find(([name]) => name.toLowerCase() === 'content-type');
  const bent = {
    ...reply,
    headers,
    contentType: named?.[1] ?? reply.contentType,
    startMs: reply.startMs + (fault.delayMs ?? 0),
    perPieceMs: fault.perTokenMs ?? reply.perPieceMs,
  };
  if (fault.garbageAfter !== undefined)
    bent.pieces = bent.pieces.toSpliced(fault.garbageAfter, 0, garbageEvent);
  if (fault.streamErrorAfter !== undefined && bent.contentLength === undefined) {
    return withStreamError(bent, fault.streamErrorAfter, call);
  }
  if (fault.hangAfterBytes !== undefined) return cutAfterBytes(bent, fault.hangAfterBytes);
  if (fault.halfClose !== undefined) {
    return cutAfterChunks(bent, fault.halfClose === true ? defaultChunksBeforeClose : fault.halfClose);
  }
  return fault.resetAfterLast ? { ...bent, ending: 'reset' } : bent;
}

function bentHeaders(headers: readonly string[], fault: Fault): string[] {
  const added = { ...fault.headers };
  if (fault.retryAfter !== undefined) added['retry-after'] = fault.retryAfter;
  if (fault.retryAfterMs !== undefined) added['retry-after-ms'] = String(fault.retryAfterMs);
  const names = new Set(Object.keys(added).map((name) => name.toLowerCase()));
  const bent: string[] = [];
  for (let index = 0; index < headers.length; index += 2) {
    if (!names.has(headers[index]!.toLowerCase())) bent.push(headers[index]!, headers[index + 1]!);
  }
  for (const [name, value] of Object.entries(added)) {
    const own = ['content-type', 'content-length', 'transfer-encoding'].includes(name.toLowerCase());
    if (!own) bent.push(name, value);
  }
  return bent;
}

function withStreamError(reply: Reply, pieces: number, call: FaultedCall): Reply {
  const body = errorBody(
    call.dialect,
    call.dialect === 'anthropic' ? 529 : 500,
    'Overloaded',
    call.requestId,
  );
  const data = `data: ${JSON.stringify(body)}\n\n`;
  const kept = reply.pieces.slice(0, pieces);
  const closings: Record<Dialect, string> = {
    openai: data,
    gemini: data,
    anthropic: `event: error\n${data}`,
    bedrock: eventFrame('internalServerException', body, 'exception'),
  };
  return { ...reply, pieces: kept, closing: closings[call.dialect], outputTokens: kept.length };
}

function cutAfterBytes(reply: Reply, bytes: number): Reply {
  const kept: string[] = [];
  let left = bytes;
  for (const chunk of [reply.opening, ...reply.pieces, reply.closing]) {
    if (left <= 0) break;
    const part = Buffer.from(chunk, reply.encoding ?? 'utf8').subarray(0, left);
    kept.push(part.toString(reply.encoding ?? 'utf8'));
    left -= part.length;
  }
  const [opening = '', ...pieces] = kept;
  return {
    ...reply,
    opening,
    pieces,
    closing: '',
    outputTokens: Math.min(pieces.length, reply.outputTokens),
    ending: 'hang',
  };
}

function cutAfterChunks(reply: Reply, chunks: number): Reply {
  if (reply.contentLength !== undefined) {
    const opening = reply.opening.slice(0, Math.floor(reply.opening.length / 2));
    return { ...reply, opening, ending: 'close' };
  }
  const pieces = reply.pieces.slice(0, chunks);
  return { ...reply, pieces, closing: '', outputTokens: pieces.length, ending: 'close' };
}
