const key = '"continuationToken":';

/**
 * An answer of Gemini without the token by which the AI SDK's model would ask on by itself for the rest of a long answer: that
 * would be another request, which no ceiling has granted. What came ends as one that reached its maximum. Inside of a text
 * the quotes of such a key are escaped, so that nothing else is meant.
 */
export function withoutContinuation(bytes: Buffer): Buffer {
  return bytes.includes(key) ? Buffer.from(bytes.toString().replaceAll(key, '"withheld":')) : bytes;
}
