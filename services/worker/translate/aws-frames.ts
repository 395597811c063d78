import { EventStreamCodec } from '@smithy/eventstream-codec';

const codec = new EventStreamCodec(
  (bytes) => (typeof bytes === 'string' ? bytes : Buffer.from(bytes).toString()),
  (text) => Buffer.from(text),
);

const text = (value: string) => ({ type: 'string', value }) as const;

/**
 * Server-sent events as AWS event stream messages again. Bedrock's events are read as server-sent ones, like everybody's, but
 * the AI SDK's model wants what Bedrock sent; framing them anew is cheaper to keep right than a second reader of Converse.
 */
export function awsFramesOf(events: Buffer): Buffer {
  const frames = [...events.toString().matchAll(/^data: (.*)$/gm)].map(([, data]) => frameOf(data!));
  return Buffer.concat(frames);
}

function frameOf(data: string): Uint8Array {
  const [[type, body] = ['', {}]] = Object.entries(JSON.parse(data) as Record<string, unknown>);
  return codec.encode({
    headers: {
      ':message-type': text('event'),
      ':event-type': text(type),
      ':content-type': text('application/json'),
    },
    body: Buffer.from(JSON.stringify(body)),
  });
}
