import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { wireOf } from '../../../../services/worker/providers/adapters.ts';
import { StreamInvalid } from '../../../../services/worker/streams/stream-invalid.ts';
import { StreamRelay } from '../../../../services/worker/streams/stream-relay.ts';
import { holds } from '../../../harness/property.ts';

const reader = wireOf('/v1/chat/completions').streamReader('/v1/chat/completions');

function relayOf(hideUsage = false, eventMaxBytes = 4_096): { relay: StreamRelay; text: () => string } {
  const passed: Buffer[] = [];
  const emit = (bytes: Buffer) => void passed.push(Buffer.from(bytes));
  const relay = new StreamRelay({ reader, hideUsage, eventMaxBytes, eventsMax: 1_000, emit });
  return { relay, text: () => Buffer.concat(passed).toString() };
}

const chunk = (content: string, more = '') =>
  `data: {"choices":[{"index":0,"delta":{"content":${JSON.stringify(content)}},"finish_reason":null}]${more}}`;
const texts = fc.array(fc.string({ unit: 'grapheme', maxLength: 20 }), { minLength: 1, maxLength: 20 });
const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 50 });

/** Feeds a text in pieces whose lengths repeat. */
function feed(relay: StreamRelay, text: string, lengths: readonly number[]): void {
  const bytes = Buffer.from(text);
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const length = lengths[turn % lengths.length]!;
    if (relay.push(bytes.subarray(at, at + length))) return;
    at += length;
  }
}

describe('a relayed stream', () => {
  test('is passed on byte for byte, however it is cut into pieces and whatever its line ends are', async () => {
    await holds(
      200,
      fc.property(texts, cuts, fc.constantFrom('\n', '\r\n'), (contents, lengths, lineEnd) => {
        const events = [...contents.map((content) => chunk(content)), 'data: [DONE]'];
        const stream = events.map((event) => `${event}${lineEnd}${lineEnd}`).join('');
        const { relay, text } = relayOf();
        feed(relay, stream, lengths);
        expect(text()).toBe(stream);
        expect(relay.body.toString()).toBe(stream);
        expect(relay.finished).toBe(true);
      }),
    );
  });

  test('hides usage that nobody asked for, and nothing else, even where the text looks like it', async () => {
    await holds(
      200,
      fc.property(texts, cuts, (contents, lengths) => {
        const all = ['"usage":null', ',"usage":null}', ...contents];
        const usage = 'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}';
        const sent = [...all.map((content) => chunk(content, ',"usage":null')), usage, 'data: [DONE]'];
        const seen = [...all.map((content) => chunk(content)), 'data: [DONE]'];
        const { relay, text } = relayOf(true);
        feed(relay, sent.map((event) => `${event}\n\n`).join(''), lengths);
        expect(text()).toBe(seen.map((event) => `${event}\n\n`).join(''));
        expect(relay.usage(99)).toEqual({ inputTokens: 3, outputTokens: 4 });
      }),
    );
  });

  test.each([
    ['an event that never ends', `data: ${'x'.repeat(5_000)}`],
    ['an event that is not JSON', 'data: {"choi\n\n'],
    ['what is no event stream', '<html>\n\n'],
    [
      'bytes that are not UTF-8',
      Buffer.concat([Buffer.from('data: "'), Buffer.from([0xff]), Buffer.from('"\n\n')]),
    ],
  ])('refuses %s', (_name, stream) => {
    expect(() => relayOf().relay.push(Buffer.from(stream as string))).toThrow(StreamInvalid);
  });

  test('is not begun by comments, nor by an error that comes first', () => {
    const { relay, text } = relayOf();
    relay.push(Buffer.from(': processing\n\n'));
    expect(relay.begun).toBe(false);
    expect(relay.push(Buffer.from('data: {"error":{"message":"busy"}}\n\n'))).toBe(true);
    expect([relay.begun, relay.error, text()]).toEqual([false, { message: 'busy' }, '']);
  });
});
