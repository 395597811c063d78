import { SluiceError } from './errors.ts';

const backslash = 0x5c;
const quote = 0x22;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const openBracket = 0x5b;
const closeBracket = 0x5d;

/** Deepest nesting of objects and arrays in JSON bytes, counted in one pass without parsing; stops past `limit`. */
function nestingDepth(bytes: Uint8Array, limit: number): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at];
    if (inString) {
      if (byte === backslash) at++;
      else if (byte === quote) inString = false;
    } else if (byte === quote) inString = true;
    else if (byte === openBrace || byte === openBracket) {
      depth++;
      if (depth > deepest) deepest = depth;
      if (deepest > limit) return deepest;
    } else if (byte === closeBrace || byte === closeBracket) depth--;
  }
  return deepest;
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true });
const dangerousText = /"(?:__proto__|constructor)"|\\u/;

function refuseDangerousKey(key: string, value: unknown): unknown {
  const poisonsConstructor =
    key === 'constructor' && typeof value === 'object' && value !== null && Object.hasOwn(value, 'prototype');
  if (key === '__proto__' || poisonsConstructor) {
    throw new SluiceError('forbidden_property', { fields: { property: key } });
  }
  return value;
}

/**
 * Parses JSON that a stranger sent. Checked before parsing: nesting up to `maxDepth`, valid UTF-8. Refused:
 * `__proto__` and `constructor.prototype` at any depth, however they are escaped.
 *
 * @throws SluiceError body_too_deep, invalid_encoding, invalid_json or forbidden_property
 */
export function parseUntrustedJson(bytes: Uint8Array, maxDepth: number): unknown {
  if (nestingDepth(bytes, maxDepth) > maxDepth) {
    throw new SluiceError('body_too_deep', { fields: { limit: maxDepth } });
  }
  let text: string;
  try {
    text = strictUtf8.decode(bytes);
  } catch (cause) {
    throw new SluiceError('invalid_encoding', { cause });
  }
  try {
    // The reviver costs a call per value, so it runs only where the text could hold such a key.
    return dangerousText.test(text) ? JSON.parse(text, refuseDangerousKey) : JSON.parse(text);
  } catch (cause) {
    if (cause instanceof SluiceError) throw cause;
    throw new SluiceError('invalid_json', { fields: { reason: reasonOf(cause) }, cause });
  }
}

/** V8's message without the snippet it quotes, which would repeat the caller's text. */
function reasonOf(cause: unknown): string {
  const message = cause instanceof Error ? cause.message : 'unreadable';
  return message.replace(/,? ?(?:\.{3})?".*"(?:\.{3})? is not valid JSON$/s, '').replace(/ in JSON/, '');
}
