import { EventStreamCodec, type Message } from '@smithy/eventstream-codec';
import { StreamInvalid } from '../../streams/stream-invalid.ts';
import type { StreamDecoder } from '../provider-adapter.ts';

const lengthBytes = 4;
/** Two lengths, their checksum, and the checksum of the whole. */
const leastMessageBytes = 16;

const utf8 = new TextDecoder('utf-8', { fatal: true });
const codec = new EventStreamCodec(
  (bytes) => (typeof bytes === 'string' ? bytes : utf8.decode(bytes)),
  (text) => Buffer.from(text),
);

/**
 * AWS event stream messages as server-sent events: an event `contentBlockDelta` with the body `{…}` becomes
 * `data: {"contentBlockDelta":{…}}`, an exception likewise.
 */
export class EventStreamDecoder implements StreamDecoder {
  readonly #maxBytes: number;
  #rest: Buffer = Buffer.alloc(0);

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  push(piece: Buffer): Buffer {
    let bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, piece]) : piece;
    const events: string[] = [];
    while (bytes.length >= lengthBytes) {
      const length = bytes.readUInt32BE();
      if (length < leastMessageBytes || length > this.#maxBytes)
        throw new StreamInvalid(`a message of ${length} bytes`);
      if (bytes.length < length) break;
      events.push(eventOf(bytes.subarray(0, length)));
      bytes = bytes.subarray(length);
    }
    this.#rest = bytes;
    return Buffer.from(events.join(''));
  }
}

function eventOf(bytes: Buffer): string {
  const { headers, body } = decode(bytes);
  const header = (name: string) => String(headers[name]?.value ?? '');
  const type = header(':message-type');
  // An error of the connection has no body: its code and sentence are headers.
  if (type === 'error')
    return serverSent('internalServerException', JSON.stringify({ message: header(':error-message') }));
  return serverSent(header(type === 'exception' ? ':exception-type' : ':event-type'), textOf(body));
}

function decode(bytes: Buffer): Message {
  try {
    return codec.decode(bytes);
  } catch (error) {
    throw new StreamInvalid(`a message is broken: ${(error as Error).message}`);
  }
}

function textOf(body: Uint8Array): string {
  try {
    // Written anew, so that no line end of the body ends the event.
    return JSON.stringify(JSON.parse(utf8.decode(body)));
  } catch {
    throw new StreamInvalid('an event is not JSON');
  }
}

const serverSent = (name: string, body: string) =>
  `event: ${name}\ndata: {${JSON.stringify(name)}:${body}}\n\n`;
