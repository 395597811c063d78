import { afterAll, beforeAll, expect, test } from 'vitest';
import { keys } from '#shared/redis/keys.ts';
import { get, post } from '../harness/fault-system.ts';
import { chat } from '../harness/sluice.ts';
import { type SettingsOverrides, testKey } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';
import { modelA, modelB, RoutedSystem } from './routed-system.ts';

let system: RoutedSystem;
/** Served by a provider that takes one call at a time. */
const modelC = 'gpt-6-terra';
const narrowKey = 'sk-sl-narrow';
const a = { model: `openai/${modelA}`, weight: 1 };
const b = { model: `second/${modelB}`, weight: 1 };

beforeAll(async () => {
  system = await RoutedSystem.start(
    (simulatorUrl) =>
      ({
        routing: { gauge_ms: 50, rule_headers: ['x-tier'], explore_share: 0 },
        customers: {
          acme: {
            keys: [
              { id: 'test', key: testKey },
              {
                id: 'narrow',
                key: narrowKey,
                allowed_routes: ['cheap', 'soonest'],
                allowed_models: [modelB],
              },
            ],
            budgets: [{ usd: 0.01, match: { user: 'spender' } }],
          },
        },
        providers: {
          openai: { prices: { [modelA]: { input: 10, output: 10 } } },
          second: { prices: { [modelB]: { input: 1, output: 1 } } },
          third: {
            dialect: 'openai',
            base_url: `${simulatorUrl}/v1`,
            credentials: [{ id: 'only', api_key: 'sk-simulator-third' }],
            pools: { chat: { models: [modelC], concurrency: 1 } },
          },
        },
        routes: {
          split: { targets: [{ ...a, weight: 3 }, b], sticky: 'user' },
          cheap: { targets: [a, b], strategy: 'cost' },
          fast: { targets: [a, b], strategy: 'latency' },
          ruled: {
            targets: [a],
            rules: [
              { when: 'headers["x-tier"] == "gold" || metadata.tier == "gold"', targets: [b] },
              { when: 'tokens.input > 2000', reject: 'prompts of this route are short' },
              { when: 'user == "low"', priority: 9 },
            ],
          },
          trial: { targets: [a], canary: { model: b.model, percent: 30, sticky: 'user' } },
          saving: { targets: [a], rules: [{ when: 'budget_used > 50', targets: [b] }] },
          copied: { targets: [a], mirror: { model: b.model, percent: 100 } },
          soonest: { targets: [{ model: `third/${modelC}`, weight: 1 }, b], strategy: 'shortest_wait' },
          busy: {
            targets: [{ model: `third/${modelC}`, weight: 1 }],
            rules: [{ when: 'pool.wait_ms > 1', targets: [b] }],
          },
          kept: { targets: [a], cache: { mode: 'exact' } },
        },
      }) as SettingsOverrides,
  );
});
afterAll(() => system?.stop());

const users = Array.from({ length: 80 }, (_, index) => `user-${index}`);
const providerOf = async (route: string, user: string) =>
  (await system.call(route, 'hello', {}, { 'x-sluice-user': user })).provider;

test.each([
  ['split', 0.25],
  ['trial', 0.3],
])('%s: each user stays on one side, and the sides have about their share', async (route, share) => {
  const first = await Promise.all(users.map((user) => providerOf(route, user)));
  const again = await Promise.all(users.map((user) => providerOf(route, user)));
  expect(again).toEqual(first);
  const atB = first.filter((provider) => provider === 'second').length / users.length;
  // Four standard deviations of a binomial of 80.
  expect(Math.abs(atB - share)).toBeLessThan(4 * Math.sqrt((share * (1 - share)) / users.length));
});

test('the cheapest target is the one with the lowest list price', async () => {
  expect((await system.call('cheap', 'hello')).provider).toBe('second');
});

test('the fastest target is the one that answered fastest of late', async () => {
  system.misbehave(modelA, 'slow at A', { delayMs: 300 });
  await until('B is known to be faster', async () => {
    await Promise.all([
      system.call(modelA, 'slow at A'),
      system.call(modelB, 'slow at A'),
      system.call('fast', 'slow at A'),
    ]);
    return (await system.call('fast', 'slow at A')).provider === 'second';
  });
});

test('the first rule that holds decides target, priority or refusal', async () => {
  expect((await system.call('ruled', 'hello')).provider).toBe('openai');
  expect((await system.call('ruled', 'hello', {}, { 'x-tier': 'gold' })).provider).toBe('second');
  const refused = await system.call('ruled', 'word '.repeat(4_000));
  expect(refused).toMatchObject({ status: 403, body: { error: { code: 'route_rejected' } } });
  expect(refused.body.error?.message).toContain('prompts of this route are short');
  const low = await system.call('ruled', 'hello', {}, { 'x-sluice-user': 'low' });
  expect(await system.faults.store.hget(keys.job('acme', low.job), 'priority')).toBe('9');
});

test('who has used half of its budget is served by the cheaper target from then on', async () => {
  const spender = { 'x-sluice-user': 'spender' };
  expect((await system.call('saving', 'hello', {}, spender)).provider).toBe('openai');
  await until('the rule holds', async () => {
    // 10 USD per million tokens at A: each call takes some of the 0.01 USD.
    return (await system.call('saving', 'word '.repeat(60), {}, spender)).provider === 'second';
  });
  expect((await system.call('saving', 'hello')).provider).toBe('openai');
});

test('a copy runs as a job of its own, is marked, and its failure is nobody’s', async () => {
  system.misbehave(modelB, 'copy me', { status: 400 });
  const answer = await system.call('copied', 'copy me');
  expect(answer).toMatchObject({ status: 200, provider: 'openai', attempts: 1 });
  const copy = await until('the copy has ended', async () => {
    for (const id of await system.faults.jobIds()) {
      const job = await system.job(id);
      if (job.metadata.mirror_of === answer.job && job.status === 'failed') return job;
    }
    return undefined;
  });
  expect(copy).toMatchObject({ provider: 'second', model: modelB });
  const axes = await system.faults.store.hget(keys.job('acme', copy.id), 'axes');
  expect(JSON.parse(axes!)).toEqual({ key: 'mirror', feature: 'mirror', route: 'copied' });
  expect(await system.faults.store.hget(keys.job('acme', copy.id), 'priority')).toBe('9');
  expect(await system.story(answer.job)).toEqual(['openai succeeded']);
});

test('the shortest wait: while calls wait for the first target the other one is asked, and then the first again', async () => {
  const providerNow = async () => (await system.call('soonest', 'hello')).provider;
  expect(await providerNow()).toBe('third');
  system.misbehave(modelC, 'in its way', { hang: true });
  const held = await Promise.all(
    [0, 1, 2, 3].map(async (index) => {
      const body = { ...chat(`in its way ${index}`), model: modelC };
      const response = await post(system.ingress, '/v1/chat/completions', body, { prefer: 'respond-async' });
      return ((await response.json()) as { id: string }).id;
    }),
  );
  await until('B is asked', async () => {
    const body = { ...chat('who is first'), model: 'soonest' };
    const accepted = await post(system.ingress, '/v1/chat/completions', body, { prefer: 'respond-async' });
    const { id } = (await accepted.json()) as { id: string };
    const { provider } = await system.job(id);
    if (provider === 'third') await post(system.ingress, `/v1/jobs/${id}/cancel`, {});
    return provider === 'second';
  });
  // A rule goes by the same reading.
  expect((await system.call('busy', 'a rule on the wait')).provider).toBe('second');
  for (const id of held) await post(system.ingress, `/v1/jobs/${id}/cancel`, {});
  await system.faults.ended(held);
  await until('the first is asked again', async () => (await providerNow()) === 'third');
  await until(
    'the rule holds no more',
    async () => (await system.call('busy', 'no wait')).provider === 'third',
  );
});

test('a route says how its calls use the cache', async () => {
  const ask = async (model: string) => {
    const response = await post(system.ingress, '/v1/chat/completions', { ...chat('keep me'), model });
    await response.text();
    return response.headers.get('x-sluice-cache-status');
  };
  expect(await ask('kept')).toBe('miss');
  await until('it is kept', async () => (await ask('kept')) === 'hit');
  expect(await ask(modelA)).toBeNull();
});

test('the list of models names the routes that a key may use, and where they lead for it', async () => {
  interface Listed {
    data: { id: string; sluice: { route?: string; targets?: string[] } }[];
  }
  const routesOf = async (response: Response) => {
    const { data } = (await response.json()) as Listed;
    return data.filter(({ sluice }) => sluice.route !== undefined);
  };
  const all = await routesOf(await get(system.ingress, '/v1/models'));
  expect(all.map(({ id }) => id)).toEqual(expect.arrayContaining(['split', 'cheap', 'soonest', 'kept']));
  const url = `http://127.0.0.1:${system.ingress.port}/v1/models`;
  const narrow = await routesOf(await fetch(url, { headers: { 'x-api-key': narrowKey } }));
  expect(narrow.map(({ id, sluice }) => [id, sluice.targets])).toEqual([
    ['cheap', [b.model]],
    ['soonest', [b.model]],
  ]);
  const one = await fetch(`${url}/cheap`, { headers: { 'x-api-key': narrowKey, 'anthropic-version': '1' } });
  expect(await one.json()).toMatchObject({ type: 'model', id: 'cheap' });
});
