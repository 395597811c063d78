/** A place between two lines of a file: `line` lines end before the byte `offset`. */
export interface LinePlace {
  line: number;
  offset: number;
}

export interface FileLine {
  /** From 1, as editors count. */
  number: number;
  /** Where it begins. */
  offset: number;
  /** Where the next one begins. */
  nextOffset: number;
  /** Without its end; undefined when it is longer than allowed. */
  bytes: Buffer | undefined;
}

const newline = 0x0a;

/**
 * The lines of a file, at most one of them in memory. Only a line feed ends a line, so that U+2028 inside of a JSON
 * string does not; what is in a line is the reader's to decode. `chunks` begin at `from`.
 */
export async function* splitLines(
  chunks: AsyncIterable<Uint8Array>,
  maxBytes: number,
  from: LinePlace = { line: 0, offset: 0 },
): AsyncGenerator<FileLine, void> {
  let number = from.line;
  let offset = from.offset;
  let pending: Buffer[] = [];
  let length = 0;
  const add = (piece: Buffer) => {
    length += piece.length;
    if (length <= maxBytes) pending.push(piece);
    else pending = [];
  };
  const end = (endBytes: number): FileLine => {
    const bytes = length > maxBytes ? undefined : Buffer.concat(pending);
    number++;
    const line = { number, offset, nextOffset: offset + length + endBytes, bytes };
    offset = line.nextOffset;
    pending = [];
    length = 0;
    return line;
  };
  for await (const chunk of chunks) {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let at = 0;
    for (let stop = bytes.indexOf(newline); stop !== -1; stop = bytes.indexOf(newline, at)) {
      add(bytes.subarray(at, stop));
      at = stop + 1;
      yield end(1);
    }
    if (at < bytes.length) add(bytes.subarray(at));
  }
  if (length > 0) yield end(0);
}

const blank = /^[\s\ufeff]*$/;

/** Whether a line holds nothing; such lines are no requests, wherever they stand. */
export function isBlank({ bytes }: FileLine): boolean {
  return bytes !== undefined && bytes.length < 100 && blank.test(bytes.toString());
}
