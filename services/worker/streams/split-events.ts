const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const firstCapacity = 16_384;

/** An event of a stream that is longer than allowed. */
export class EventTooLarge extends Error {}

/**
 * Cuts a stream of server-sent events into whole events, byte for byte: an event ends after its blank line. Lines end in
 * LF or CRLF; a lone CR, which the format allows and no provider uses, ends none.
 */
export class EventSplitter {
  readonly #maxBytes: number;
  #buffer = Buffer.alloc(0);
  #length = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes that belong to no whole event yet. */
  get rest(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  /** The events that `piece` completes. @throws EventTooLarge */
  push(piece: Buffer): Buffer[] {
    const searchFrom = Math.max(0, this.#length - 3);
    this.#append(piece);
    const events: Buffer[] = [];
    let start = 0;
    let end = this.#endOfEvent(searchFrom);
    while (end !== -1) {
      events.push(Buffer.from(this.#buffer.subarray(start, end)));
      start = end;
      end = this.#endOfEvent(start);
    }
    this.#buffer.copyWithin(0, start, this.#length);
    this.#length -= start;
    if (this.#length > this.#maxBytes || events.some(({ length }) => length > this.#maxBytes))
      throw new EventTooLarge(`one event is larger than ${this.#maxBytes} bytes`);
    return events;
  }

  /** Grows by doubling, so that a stream in tiny pieces costs no copy of all before for each. */
  #append(piece: Buffer): void {
    const needed = this.#length + piece.length;
    if (needed > this.#buffer.length) {
      const grown = Buffer.alloc(Math.max(firstCapacity, needed, 2 * this.#buffer.length));
      this.#buffer.copy(grown, 0, 0, this.#length);
      this.#buffer = grown;
    }
    piece.copy(this.#buffer, this.#length);
    this.#length = needed;
  }

  #endOfEvent(from: number): number {
    const bytes = this.rest;
    for (let at = bytes.indexOf(lineFeed, from); at !== -1; at = bytes.indexOf(lineFeed, at + 1)) {
      if (bytes[at + 1] === lineFeed) return at + 2;
      if (bytes[at + 1] === carriageReturn && bytes[at + 2] === lineFeed) return at + 3;
    }
    return -1;
  }
}
