import { afterAll, beforeAll, expect, test } from 'vitest';
import { post } from '../harness/fault-system.ts';
import { chat } from '../harness/sluice.ts';
import type { SettingsOverrides } from '../harness/test-settings.ts';
import { modelA, modelB, RoutedSystem } from './routed-system.ts';

let system: RoutedSystem;
const a = { model: `openai/${modelA}`, weight: 1 };
const b = { model: `second/${modelB}`, weight: 1 };
/** Of a provider whose pool judges answers by itself. */
const guarded = 'gpt-6-sol';
const usage = { prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 };

beforeAll(async () => {
  system = await RoutedSystem.start(
    (simulatorUrl) =>
      ({
        providers: {
          openai: { pools: { chat: { breaker: { failures_max: 100_000 } } } },
          guarded: {
            dialect: 'openai',
            base_url: `${simulatorUrl}/v1`,
            credentials: [{ id: 'only', api_key: 'sk-simulator-guarded' }],
            pools: { chat: { models: [guarded], quality: {} } },
          },
        },
        routes: {
          judged: {
            targets: [a],
            fallbacks: [b],
            retries: 0,
            quality: { json: true, empty: true, truncated: true },
          },
          lonely: { targets: [{ ...a, retries: 1 }], quality: { json: true, empty: true, truncated: false } },
        },
      }) as SettingsOverrides,
  );
});
afterAll(() => system?.stop());

const answer = (content: string | null, finish = 'stop') => ({
  body: {
    id: 'c',
    object: 'chat.completion',
    choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: finish }],
    usage,
  },
});
const schema = { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] };
const format = { response_format: { type: 'json_schema', json_schema: { name: 's', schema } } };

test.each([
  ['is empty', '', 'stop', {}],
  ['is not the JSON that was asked for', 'Sure!', 'stop', { response_format: { type: 'json_object' } }],
  ['does not follow its schema', '{"n":"one"}', 'stop', format],
  ['was cut by its length', 'so far', 'length', {}],
])('an answer that %s is paid for, and B is asked', async (name, content, finish, more) => {
  system.misbehave(modelA, `judge ${name}`, answer(content, finish));
  system.misbehave(modelB, `judge ${name}`, answer('{"n":1}'));
  const got = await system.call('judged', `judge ${name}`, more);
  expect(got).toMatchObject({ status: 200, provider: 'second', attempts: 2 });
  expect(got.body.choices?.[0]?.message.content).toBe('{"n":1}');
  expect(await system.story(got.job)).toEqual(['openai broken_answer', 'second succeeded']);
  const rows = (await system.faults.ledger()).filter(({ job }) => job === got.job);
  expect(rows.map(({ kind, inputTokens }) => [kind, inputTokens])).toEqual([
    ['wasted', 11],
    ['settled', 11],
  ]);
});

test('when no target answers as asked, the caller hears so, and what was made is settled', async () => {
  system.misbehave(modelA, 'never right', answer(''));
  const got = await system.call('lonely', 'never right');
  expect(got).toMatchObject({
    status: 502,
    attempts: 2,
    body: { error: { code: 'provider_broken_answer' } },
  });
  const rows = (await system.faults.ledger()).filter(({ job }) => job === got.job);
  expect(rows.map(({ kind }) => kind).toSorted()).toEqual(['settled', 'wasted']);
});

test('a good answer, a tool call and a refusal pass', async () => {
  system.misbehave(modelA, 'fine', answer('{"n":2}'));
  expect(await system.call('judged', 'fine', format)).toMatchObject({
    status: 200,
    provider: 'openai',
    attempts: 1,
  });
  const refusal = { message: { role: 'assistant', content: null, refusal: 'No.' }, finish_reason: 'stop' };
  system.misbehave(modelA, 'refuses', { body: { ...answer('').body, choices: [refusal] } });
  expect(await system.call('judged', 'refuses', format)).toMatchObject({ status: 200, attempts: 1 });
});

test('schemas that never end are not judged, and keep nobody waiting', async () => {
  // Each level tries its four alternatives, and all of them fail at the innermost one.
  const branch = {
    type: 'object',
    anyOf: Array.from({ length: 4 }, () => ({ properties: { a: { $ref: '#/$defs/x' } } })),
  };
  const endless = { $defs: { x: branch }, ...branch };
  const deep = `${'{"a":'.repeat(20)}1${'}'.repeat(20)}`;
  system.misbehave(modelA, 'endless', answer(deep));
  const poisoned = { response_format: { type: 'json_schema', json_schema: { name: 's', schema: endless } } };
  expect(await system.call('judged', 'endless', poisoned)).toMatchObject({ status: 200, attempts: 1 });
  const backtracking = { type: 'object', properties: { a: { pattern: '^(a+)+$' } } };
  system.misbehave(modelA, 'backtracking', answer(JSON.stringify({ a: `${'a'.repeat(40)}!` })));
  const slow = { response_format: { type: 'json_schema', json_schema: { name: 's', schema: backtracking } } };
  expect(await system.call('judged', 'backtracking', slow)).toMatchObject({ status: 200, attempts: 1 });
});

test('a pool that judges answers asks again by itself, whatever route or none its call has', async () => {
  system.misbehave(guarded, 'judged by its pool', answer(''), 1);
  const got = await system.call(guarded, 'judged by its pool');
  expect(got).toMatchObject({ status: 200, provider: 'guarded', attempts: 2 });
  expect(await system.story(got.job)).toEqual(['guarded broken_answer', 'guarded succeeded']);
});

test.each([
  ['is empty', { outputTokens: 0 }],
  ['is cut by its length', { outputTokens: 400 }],
])('a streamed answer that %s has been read: it stands, and its attempt says so', async (name, fault) => {
  system.misbehave(modelA, `streamed ${name}`, fault);
  const body = { ...chat(`streamed ${name}`), model: 'judged', stream: true, max_tokens: 20 };
  const response = await post(system.ingress, '/v1/chat/completions', body);
  expect(await response.text()).toContain('[DONE]');
  const id = response.headers.get('x-sluice-job-id')!;
  expect(await system.story(id)).toEqual(['openai broken_answer']);
  expect(await system.job(id)).toMatchObject({ status: 'succeeded', provider: 'openai' });
  const rows = (await system.faults.ledger()).filter(({ job }) => job === id);
  expect(rows.map(({ kind }) => kind)).toEqual(['settled']);
});
