/** The vector in the same direction whose length is 1; undefined when it has no direction. */
export function unitVector(values: readonly number[]): Float32Array | undefined {
  const length = Math.hypot(...values);
  return Number.isFinite(length) && length > 0
    ? Float32Array.from(values, (value) => value / length)
    : undefined;
}

/** Little-endian, as every machine that runs this has it and as Redis expects it. */
export const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength);

export function vectorOf(bytes: Buffer): Float32Array {
  const vector = new Float32Array(Math.floor(bytes.length / Float32Array.BYTES_PER_ELEMENT));
  bytes.copy(Buffer.from(vector.buffer));
  return vector;
}

/** Of unit vectors. */
export function cosineOf(left: Float32Array, right: Float32Array): number {
  let sum = 0;
  for (let at = 0; at < left.length; at++) sum += left[at]! * right[at]!;
  return sum;
}
