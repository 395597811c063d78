import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SluiceError } from '#shared/kernel/errors.ts';
import { parseUntrustedJson } from '#shared/kernel/json-guard.ts';
import { holds } from '../../harness/property.ts';

const depthMax = 8;
const bytesOf = (text: string) => new TextEncoder().encode(text);
const parse = (text: string) => parseUntrustedJson(bytesOf(text), depthMax);

function refusal(bytes: Uint8Array): SluiceError {
  try {
    parseUntrustedJson(bytes, depthMax);
  } catch (error) {
    if (error instanceof SluiceError) return error;
    throw error;
  }
  throw new Error('it was accepted');
}

function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depthOf));
}

/** Texts with what confuses a counter of braces: quotes, backslashes, braces and escapes. */
const trickyText = fc.string({
  unit: fc.constantFrom('"', '\\', '{', '}', '[', ']', 'a', 'é', '😀', '\n', '\u2028'),
  maxLength: 8,
});
const { tree } = fc.letrec((tie) => ({
  tree: fc.oneof(
    { maxDepth: 12, depthSize: 'large', withCrossShrink: true },
    fc.oneof(
      fc.integer(),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.boolean(),
      fc.constant(null),
      trickyText,
    ),
    fc.array(tie('tree'), { maxLength: 3 }),
    fc.dictionary(trickyText, tie('tree'), { maxKeys: 3 }),
  ),
}));

describe('what is accepted is what JSON.parse reads', () => {
  test('for every value that is not nested too deeply, however it is written', async () => {
    const spacing = fc.constantFrom(undefined, 2, '\t');
    await holds(
      1_000,
      fc.property(tree, spacing, (value, space) => {
        const text = JSON.stringify(value, null, space);
        if (depthOf(JSON.parse(text)) > depthMax) expect(refusal(bytesOf(text)).code).toBe('body_too_deep');
        else expect(parse(text)).toEqual(JSON.parse(text));
      }),
    );
  });

  test('for every text at all: both accept it with the same value, or both refuse it', async () => {
    const alphabet = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      '"',
      '\\',
      ':',
      ',',
      '1',
      '-',
      'e',
      'null',
      ' ',
      'u0041',
      '\u0000',
      'é',
    );
    await holds(
      3_000,
      fc.property(fc.string({ unit: alphabet, maxLength: 14 }), (text) => {
        let expected: unknown;
        try {
          expected = JSON.parse(text);
        } catch {
          expect(['invalid_json', 'body_too_deep']).toContain(refusal(bytesOf(text)).code);
          return;
        }
        expect(parse(text)).toEqual(expected);
      }),
    );
  });
});

describe('depth', () => {
  test.each([
    ['[', ']'],
    ['{"a":', '}'],
  ])('%s is counted exactly', (open, close) => {
    const nested = (depth: number) => `${open.repeat(depth)}1${close.repeat(depth)}`;
    expect(() => parse(nested(depthMax))).not.toThrow();
    expect(refusal(bytesOf(nested(depthMax + 1)))).toMatchObject({
      code: 'body_too_deep',
      fields: { limit: depthMax },
    });
  });

  test('braces inside texts do not count, behind any number of backslashes', () => {
    for (const text of ['[[[[[[[[[[', '\\"[[[[[[[[[[', '\\\\', '"{{{{{{{{{{'])
      expect(parse(JSON.stringify([text]))).toEqual([text]);
  });

  test('a very deep body is refused before it is parsed', () => {
    expect(refusal(bytesOf('['.repeat(4_000_000))).code).toBe('body_too_deep');
  });
});

describe('properties that would poison an object', () => {
  const letters = '__proto__';
  const escaped = letters
    .split('')
    .map((letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('');

  test.each([
    `{"${letters}":{}}`,
    `{"${escaped}":1}`,
    `{"${escaped.toUpperCase().replaceAll('\\U', '\\u')}":1}`,
    '{"__pr\\u006fto__":1}',
    '[[{"a":{"\\u005f_proto__":null}}]]',
    '{"constructor":{"prototype":{}}}',
    '{"constr\\u0075ctor":{"prototype":1}}',
    '{"constructor":{"prot\\u006ftype":1}}',
  ])('%s', (text) => {
    expect(refusal(bytesOf(text)).code).toBe('forbidden_property');
  });

  test.each([
    '{"a":"__proto__"}',
    '{"constructor":1}',
    '{"constructor":{"name":"x"}}',
    '{"prototype":{}}',
    '{"x__proto__":1}',
    '["\\u005f\\u005fproto__"]',
  ])('harmless and kept: %s', (text) => {
    expect(parse(text)).toEqual(JSON.parse(text));
  });
});

test('bytes that are not UTF-8', () => {
  for (const bytes of [
    [0xff],
    [0x22, 0xc3, 0x28, 0x22],
    [0x22, 0xed, 0xa0, 0x80, 0x22],
    [0x22, 0xc0, 0xaf, 0x22],
  ]) {
    expect(refusal(Uint8Array.from(bytes)).code).toBe('invalid_encoding');
  }
});

test('the answer to invalid JSON does not repeat the body', async () => {
  const canary = 'canary';
  const texts = [
    canary,
    `{"a": ${canary}}`,
    `["${canary}", x]`,
    `{"${canary}" 1}`,
    `${'1'.repeat(40)}${canary}${'2'.repeat(40)}`,
    `"${canary}`,
    `{"a":"${canary}\n"}`,
  ];
  for (const text of texts) expect(refusal(bytesOf(text)).message).not.toContain(canary);
  await holds(
    500,
    fc.property(
      fc.string({ unit: fc.constantFrom('{', '"', ':', ',', 'z', '1', '\n', ' '), maxLength: 40 }),
      (text) => {
        try {
          parse(text);
        } catch (error) {
          expect((error as Error).message.replaceAll(/position \d+|line \d+|column \d+/g, '')).not.toMatch(
            /z{2}|11|"/,
          );
        }
      },
    ),
  );
});
