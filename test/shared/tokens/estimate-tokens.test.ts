import fc from 'fast-check';
import { expect, test } from 'vitest';
import { estimateTokens } from '#shared/tokens/estimate-tokens.ts';
import { safeOutput, untaught } from '#shared/tokens/learned.ts';
import { holds } from '../../harness/property.ts';

const asked = { counts: 'asked', maxDefault: 16 } as const;
const real = { counts: 'real', maxDefault: 16 } as const;
const chat = (content: string, more: Record<string, unknown> = {}) => ({
  messages: [{ role: 'user', content }],
  ...more,
});
const taught = { ...untaught, output: 40, outputDeviation: 5 };

test('input is never reckoned below what providers count by characters, whatever was learned', async () => {
  const property = fc.property(
    fc.string({ maxLength: 400 }),
    fc.double({ min: 0, max: 5, noNaN: true }),
    (content, ratio) => {
      const { input } = estimateTokens(chat(content), asked, { ...untaught, ratio });
      expect(input).toBeGreaterThanOrEqual(Math.ceil(content.length / 4));
    },
  );
  await holds(300, property);
});

test('input follows what was learned; the linear estimate stays as it is, to learn from', () => {
  const text = 'The quick brown fox jumps over the lazy dog. '.repeat(40);
  const plain = estimateTokens(chat(text), asked, untaught);
  const more = estimateTokens(chat(text), asked, { ...untaught, ratio: 2 });
  expect(plain.input).toBeGreaterThanOrEqual(Math.ceil(plain.linear));
  expect(more.input).toBe(Math.ceil(plain.linear * 2));
  expect(more.linear).toBe(plain.linear);
});

test('a share is charged what the tenant usually gets, however much it asks for', () => {
  for (const max_tokens of [100, 100_000]) {
    const { output, max } = estimateTokens(chat('x', { max_tokens }), asked, taught);
    expect({ output, max }).toEqual({ output: 40, max: max_tokens });
  }
  expect(estimateTokens(chat('x', { max_tokens: 7 }), asked, taught).output).toBe(7);
  expect(estimateTokens(chat('x'), asked, taught)).toMatchObject({ output: 40, max: asked.maxDefault });
});

test('where real output counts, ceilings hold what calls seldom exceed, and no more than was asked for', () => {
  expect(estimateTokens(chat('x', { max_tokens: 100_000 }), real, taught)).toMatchObject({
    output: 40,
    max: 50,
  });
  expect(estimateTokens(chat('x', { max_tokens: 45 }), real, taught).max).toBe(45);
  expect(estimateTokens(chat('x', { max_tokens: 100_000 }), real, untaught).max).toBe(safeOutput(untaught));
});

test('an embedding has no output', () => {
  const none = { ...asked, counts: 'none' } as const;
  expect(estimateTokens({ input: 'text' }, none, taught)).toMatchObject({ output: 0, max: 0 });
});

test('a call to the Responses API has output, although it has no messages', () => {
  const body = { input: 'text', max_output_tokens: 30 };
  expect(estimateTokens(body, asked, taught)).toMatchObject({ output: 30, max: 30, asked: 30 });
});

test('what a call may produce counts each of the choices it asks for', () => {
  expect(estimateTokens(chat('x', { max_tokens: 7, n: 3 }), asked, taught)).toMatchObject({
    max: 7,
    asked: 21,
  });
  expect(estimateTokens(chat('x', { n: 3 }), asked, taught)).not.toHaveProperty('asked');
});
