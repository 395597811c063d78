import { describe, expect, test } from 'vitest';
import type { Dialect, Endpoint } from '#shared/contracts/endpoint.ts';
import { withoutSeals } from '#shared/translation/without-seals.ts';
import { answers, asked } from './recorded.ts';
import { type Fields, translated } from './support.ts';

const sealed = /sluice\.|c2x1aWNlL/;

/** What a caller gives back of an answer, with its own next turn. */
const nextTurn: Partial<Record<Endpoint, (answer: Fields) => Fields>> = {
  '/v1/messages': ({ content }) => ({
    max_tokens: 100,
    thinking: { type: 'enabled', budget_tokens: 2_000 },
    messages: [
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content },
    ],
  }),
  '/v1/chat/completions': ({ choices }) => ({
    messages: [{ role: 'user', content: 'Hi' }, (choices as [{ message: Fields }])[0].message],
  }),
  '/v1/responses': ({ output }) => ({ input: [{ role: 'user', content: 'Hi' }, ...(output as Fields[])] }),
  '/v1beta/models/{model}:generateContent': ({ candidates }) => ({
    contents: [{ role: 'user', parts: [{ text: 'Hi' }] }, (candidates as [{ content: Fields }])[0].content],
  }),
};

/** The second call of a conversation that a provider of another dialect began. */
async function secondCall(endpoint: Endpoint, dialect: Dialect): Promise<{ body: string; sent: Fields }> {
  const { text } = await translated({
    endpoint,
    dialect,
    body: asked[endpoint]!,
    answer: answers[dialect].answer,
  });
  const body = JSON.stringify(nextTurn[endpoint]!(JSON.parse(text) as Fields));
  return { body, sent: JSON.parse(withoutSeals(endpoint, body)) as Fields };
}

const pairs: [Endpoint, Dialect][] = [
  ['/v1/messages', 'gemini'],
  ['/v1/messages', 'bedrock'],
  ['/v1/chat/completions', 'anthropic'],
  ['/v1/chat/completions', 'gemini'],
  ['/v1/responses', 'anthropic'],
  ['/v1beta/models/{model}:generateContent', 'anthropic'],
];

describe('a conversation that goes on at a provider of the caller’s own dialect', () => {
  test.each(pairs)('%s, begun by %s: nothing that was sealed goes there', async (endpoint, dialect) => {
    const { body, sent } = await secondCall(endpoint, dialect);
    expect(body).toMatch(sealed);
    expect(JSON.stringify(sent)).not.toMatch(sealed);
  });

  test('an Anthropic turn keeps its text and its call, and goes on without thinking', async () => {
    const { sent } = await secondCall('/v1/messages', 'gemini');
    const [, turn] = sent.messages as { content: Fields[] }[];
    expect(turn!.content.map(({ type }) => type)).toEqual(['text', 'tool_use']);
    expect(sent.thinking).toBeUndefined();
  });

  test('thinking that nobody signed is taken out, too', () => {
    const content = [
      { type: 'thinking', thinking: 'Hm.', signature: '' },
      { type: 'text', text: 'Yes.' },
    ];
    const body = { messages: [{ role: 'assistant', content }], thinking: { type: 'enabled' } };
    expect(JSON.parse(withoutSeals('/v1/messages', JSON.stringify(body)))).toEqual({
      messages: [{ role: 'assistant', content: [content[1]] }],
      thinking: { type: 'enabled' },
    });
  });

  test('a response keeps its message and its call, without the item of what was thought', async () => {
    const { sent } = await secondCall('/v1/responses', 'anthropic');
    expect((sent.input as Fields[]).map(({ type }) => type)).toEqual([undefined, 'message', 'function_call']);
  });

  test('a call that no Gemini made carries what Gemini takes for its signature', async () => {
    const { sent } = await secondCall('/v1beta/models/{model}:generateContent', 'anthropic');
    const [, turn] = sent.contents as { parts: Fields[] }[];
    expect(turn!.parts.at(-1)).toMatchObject({
      functionCall: { name: 'weather' },
      thoughtSignature: 'skip_thought_signature_validator',
    });
  });

  test('what its own provider signed stays, and so does every other byte', () => {
    const own = [
      { type: 'thinking', thinking: 'Hm.', signature: 'EqQB' },
      { type: 'text', text: 'He said "sluice."' },
    ];
    const body = JSON.stringify({ messages: [{ role: 'assistant', content: own }], n: 1 });
    expect(withoutSeals('/v1/messages', body)).toBe(body);
  });
});
