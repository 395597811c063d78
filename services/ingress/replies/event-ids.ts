import { type EventPlace, eventId } from '#shared/contracts/job-events.ts';

const lineFeed = 0x0a;
const carriageReturn = 0x0d;

/**
 * The provider's events with an `id:` line each, so that a reader can come back to where it was; every other byte is as
 * the provider sent it. `place` is where `bytes` end. An event whose end is not among them gets its id with the piece
 * that holds it.
 */
export function withEventIds(bytes: Buffer, place: EventPlace): Buffer {
  const start = place.bytes - bytes.length;
  const parts: Buffer[] = [];
  let from = 0;
  for (let at = bytes.indexOf(lineFeed); at !== -1; at = bytes.indexOf(lineFeed, at + 1)) {
    const end = blankLineEnd(bytes, at);
    if (end === undefined) continue;
    const id = eventId({ epoch: place.epoch, bytes: start + end });
    parts.push(bytes.subarray(from, at + 1), Buffer.from(`id: ${id}\n`));
    from = at + 1;
    at = end - 1;
  }
  parts.push(bytes.subarray(from));
  return Buffer.concat(parts);
}

/** Where the blank line after the line feed at `at` ends; undefined when none follows. */
function blankLineEnd(bytes: Buffer, at: number): number | undefined {
  if (bytes[at + 1] === lineFeed) return at + 2;
  return bytes[at + 1] === carriageReturn && bytes[at + 2] === lineFeed ? at + 3 : undefined;
}
