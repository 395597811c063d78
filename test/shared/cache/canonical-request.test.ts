import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  answeredFields,
  type CacheableRequest,
  canonicalText,
  requestDigest,
} from '#shared/cache/canonical-request.ts';
import { holds } from '../../harness/property.ts';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const key = fc.string({ maxLength: 6 }).filter((name) => name !== '__proto__' && !name.includes('schema'));
const json = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    fc.constant(null),
    fc.boolean(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.string(),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(key, tie('value'), { maxKeys: 5 }),
  ),
})).value;

const request = (
  fields: Record<string, unknown>,
  more: Partial<CacheableRequest> = {},
): CacheableRequest => ({
  endpoint: '/v1/chat/completions',
  provider: 'openai',
  model: 'gpt-5-mini',
  headers: {},
  body: JSON.stringify(fields),
  ...more,
});
const digest = (fields: Record<string, unknown>, more?: Partial<CacheableRequest>) => {
  const made = request(fields, more);
  return requestDigest(made, answeredFields(made));
};

/** The same value with the keys of every object the other way round. */
function turned(value: Json): Json {
  if (Array.isArray(value)) return value.map(turned);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([name, member]) => [name, turned(member)]),
  );
}

test('the order of keys is of no consequence', () =>
  holds(
    500,
    fc.property(json, (value) => {
      expect(canonicalText(turned(value))).toBe(canonicalText(value));
    }),
  ));

test('two values have the same text only if they are the same but for the order of keys', () =>
  holds(
    500,
    fc.property(json, json, (left, right) => {
      const parsed = [left, right].map((value) => JSON.parse(JSON.stringify(value)) as Json);
      const same = canonicalText(left) === canonicalText(right);
      if (same) expect(parsed[0]).toEqual(parsed[1]);
      expect(JSON.parse(canonicalText(left))).toEqual(parsed[0]);
    }),
  ));

test('the order of a list counts, and every value does', () =>
  holds(
    500,
    fc.property(fc.array(json, { minLength: 2, maxLength: 5 }), (list) => {
      const there = canonicalText(list);
      const back = canonicalText(list.toReversed());
      const isSymmetric = list.every((each, at) => canonicalText(each) === canonicalText(list.at(-1 - at)!));
      expect(there === back).toBe(isSymmetric);
    }),
  ));

const messages = [{ role: 'user', content: 'hello' }];
const schema = (names: string[]) => ({
  type: 'object',
  properties: Object.fromEntries(names.map((name) => [name, { type: 'string' }])),
});
const tool = (name: string, names: string[] = ['a', 'b']) => ({
  type: 'function',
  function: { name, parameters: schema(names) },
});

test('what does not change an answer is not counted: stream, user and metadata', () => {
  const plain = digest({ model: 'x', messages });
  const more = { stream: true, stream_options: { include_usage: true }, user: 'u', metadata: { a: '1' } };
  expect(digest({ ...more, messages, model: 'y' })).toBe(plain);
});

test.each<[string, string]>([
  ['a parameter', digest({ messages, temperature: 0 })],
  ['another message', digest({ messages: [{ role: 'user', content: 'Hello' }] })],
  ['a null that is said', digest({ messages, tools: null })],
  ['the endpoint', digest({ messages }, { endpoint: '/v1/messages' })],
  ['the model', digest({ messages }, { model: 'gpt-5' })],
  ['the provider', digest({ messages }, { provider: 'azure' })],
  ['a header that goes to the provider', digest({ messages }, { headers: { 'openai-beta': 'x' } })],
])('%s sets calls apart', (_name, other) => {
  expect(other).not.toBe(digest({ messages }));
});

test('tools count in their order, and so do the fields of a schema, which models follow', () => {
  const two = [tool('first'), tool('second')];
  const call = digest({ messages, tools: two });
  expect(digest({ tools: two.map((each) => turned(each)).map(restoreSchema), messages })).toBe(call);
  expect(digest({ messages, tools: two.toReversed() })).not.toBe(call);
  expect(digest({ messages, tools: [tool('first', ['b', 'a']), tool('second')] })).not.toBe(call);
});

/** Turned keys everywhere but inside of the schema. */
function restoreSchema(value: Json): Json {
  const { function: called, ...rest } = value as { function: { name: string } };
  return { ...rest, function: { parameters: schema(['a', 'b']), name: called.name } } as Json;
}
