import type { Clock } from '#shared/kernel/clock.ts';
import type { Call } from './call.ts';
import type { Reply } from './reply.ts';

/** Sends a reply at its own pace and ends the call; nothing more is sent once the client has gone away. */
export function deliver(clock: Clock, call: Call, reply: Reply): void {
  if (reply.startMs > 0 || reply.perPieceMs > 0 || reply.ending !== 'end') call.watchClient();
  if (reply.startMs > 0) call.after(reply.startMs, () => send(clock, call, reply));
  else send(clock, call, reply);
}

function send(clock: Clock, call: Call, reply: Reply): void {
  if (reply.status === 0) {
    finish(call, reply, '');
    return;
  }
  const headers = ['content-type', reply.contentType, ...reply.headers];
  if (reply.contentLength !== undefined) headers.push('content-length', String(reply.contentLength));
  call.response.writeHead(reply.status, headers);
  if (reply.pieces.length > 0 && reply.perPieceMs > 0) {
    call.response.write(reply.opening, reply.encoding ?? 'utf8');
    sendPieces(clock, call, reply);
    return;
  }
  call.produced(reply.outputTokens);
  finish(call, reply, reply.opening + reply.pieces.join('') + reply.closing);
}

/** A piece every `perPieceMs` counted from the start, so that late timers do not add up. */
function sendPieces(clock: Clock, call: Call, reply: Reply): void {
  const startedMs = clock.monotonicMs();
  let sent = 0;
  const sendDue = () => {
    const dueCount = Math.floor((clock.monotonicMs() - startedMs) / reply.perPieceMs + 1e-6);
    const due = reply.pieces.slice(sent, dueCount);
    sent += due.length;
    call.produced(due.length);
    if (sent === reply.pieces.length) {
      finish(call, reply, due.join('') + reply.closing);
      return;
    }
    if (due.length > 0) call.response.write(due.join(''), reply.encoding ?? 'utf8');
    call.after(Math.max(1, startedMs + (sent + 1) * reply.perPieceMs - clock.monotonicMs()), sendDue);
  };
  call.after(reply.perPieceMs, sendDue);
}

function finish(call: Call, reply: Reply, last: string): void {
  const { response } = call;
  const encoding = reply.encoding ?? 'utf8';
  switch (reply.ending) {
    case 'end':
      response.end(last, encoding);
      call.end(false);
      return;
    case 'hang':
      // The client ends this call by going away.
      if (last !== '') response.write(last, encoding);
      return;
    case 'close':
    case 'reset': {
      call.end(false);
      const cut = () =>
        reply.ending === 'reset' ? call.request.socket.resetAndDestroy() : response.destroy();
      if (last === '') cut();
      else response.write(last, encoding, cut);
    }
  }
}
