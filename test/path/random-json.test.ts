import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startSluice, type TestSluice } from '../harness/sluice.ts';

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice();
});
afterAll(() => sluice.stop());

const paths = ['/v1/chat/completions', '/v1/embeddings', '/v1/messages', '/v1/jobs'] as const;
const anyOr = (value: unknown) =>
  fc.oneof({ weight: 3, arbitrary: fc.constant(value) }, { weight: 1, arbitrary: fc.jsonValue() });
/** Bodies near enough to good ones that many get past the first check. */
const nearlyGood = fc.record(
  {
    model: fc.oneof(fc.constantFrom('gpt-5-mini', 'claude-sonnet-5', 'text-embedding-3-small'), fc.string()),
    messages: anyOr([{ role: 'user', content: 'x' }]),
    input: anyOr('text'),
    max_tokens: anyOr(5),
    temperature: anyOr(1),
    endpoint: fc.constantFrom(...paths),
    body: anyOr({ model: 'gpt-5-mini', messages: [{ role: 'user', content: 'x' }] }),
    metadata: anyOr({ a: 'b' }),
    priority: anyOr('batch'),
  },
  { requiredKeys: [] },
);
const body = fc.oneof(
  fc.json(),
  nearlyGood.map((value) => JSON.stringify(value)),
  fc.string(),
);

test('whatever is sent, the answer is 2xx or 4xx and the server lives', async () => {
  const seed = fc.sample(fc.integer(), 1)[0]!;
  console.log(`random-json seed ${seed}`);
  const statuses = new Map<number, number>();
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...paths), body, async (path, text) => {
      const { status } = await sluice.post(path, text, { prefer: 'respond-async' });
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      expect(status === 202 || (status >= 400 && status < 500), `${path} ${status} ${text}`).toBe(true);
    }),
    { seed, numRuns: 300 },
  );
  // A generator that never hits a good body would prove little.
  expect(statuses.get(202)).toBeGreaterThan(0);
  expect(statuses.get(400)).toBeGreaterThan(0);
});
