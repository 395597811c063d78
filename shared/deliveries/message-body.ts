/**
 * The body of a message: `{"type","timestamp","data":{…}}`. What is handed in as `raw` is already JSON text and stands
 * in `data` under its name as it is, byte for byte.
 */
export function messageBody(
  type: string,
  timestampMs: number,
  data: Record<string, unknown>,
  raw: Record<string, Buffer> = {},
): Buffer {
  const head = { type, timestamp: new Date(timestampMs).toISOString() };
  const parts: Buffer[] = [
    Buffer.from(`${JSON.stringify(head).slice(0, -1)},"data":${JSON.stringify(data).slice(0, -1)}`),
  ];
  let separator = Object.keys(data).length > 0 ? ',' : '';
  for (const [name, text] of Object.entries(raw)) {
    parts.push(Buffer.from(`${separator}${JSON.stringify(name)}:`), text);
    separator = ',';
  }
  parts.push(Buffer.from('}}'));
  return Buffer.concat(parts);
}
