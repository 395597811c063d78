import Anthropic from '@anthropic-ai/sdk';
import { GoogleGenAI } from '@google/genai';
import OpenAI from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Fault } from '../../loadtest/simulator/faults/fault-schema.ts';
import { startSluice, type TestSluice } from '../harness/sluice.ts';
import { type SettingsOverrides, testKey } from '../harness/test-settings.ts';
import { arrivalsAt } from './support.ts';

let sluice: TestSluice;
beforeAll(async () => {
  // What money stops is to be asked again soon, for the next test.
  const breaker = { billing_probe_ms: 100, failures_max: 100_000 };
  const providers = {
    openai: { pools: { chat: { breaker } } },
    anthropic: { pools: { claude: { breaker } } },
  };
  sluice = await startSluice({ settings: { providers } as SettingsOverrides });
});
afterAll(() => sluice?.stop());
beforeEach(() => {
  sluice.simulator.log.clear();
  sluice.simulator.faults.clear();
});

const messages = [{ role: 'user' as const, content: 'hello' }];
/** The official packages with the retries that they come with. */
const packages: Record<string, (model: string) => Promise<unknown>> = {
  openai: (model) =>
    new OpenAI({ apiKey: testKey, baseURL: `${sluice.url}/v1` }).chat.completions.create({ model, messages }),
  anthropic: (model) =>
    new Anthropic({ apiKey: testKey, baseURL: sluice.url }).messages.create({
      model,
      max_tokens: 9,
      messages,
    }),
  google: (model) =>
    new GoogleGenAI({ apiKey: testKey, httpOptions: { baseUrl: sluice.url } }).models.generateContent({
      model,
      contents: 'hello',
    }),
};

/** Asks once; what the provider saw: statuses, and for how many calls of the package. */
async function seenBy(name: string, model: string, fault: Fault, times: number) {
  sluice.simulator.faults.add({ match: { model }, times, fault });
  const failure = await packages[name]!(model).then(
    () => undefined,
    (error: { status?: number }) => error.status,
  );
  const arrivals = arrivalsAt(sluice.simulator);
  const jobs = new Set(arrivals.map(({ clientRequestId }) => clientRequestId.split('/')[0]));
  return { failure, statuses: arrivals.map(({ status }) => status), calls: jobs.size };
}

describe.each(['gpt-5-mini', 'claude-sonnet-5'])('%s', (model) => {
  describe.each(Object.keys(packages))('asked by the package of %s', (name) => {
    test('a 429 for quota is asked again by the queue alone', async () => {
      expect(await seenBy(name, model, { kind: 'quota', retryAfterMs: 30 }, 2)).toEqual({
        failure: undefined,
        statuses: [429, 429, 200],
        calls: 1,
      });
    });

    test.each(['billing', 'oversize'] as const)('a refusal for %s is asked again by nobody', async (kind) => {
      const seen = await seenBy(name, model, { kind }, 1_000);
      expect(seen.failure).toBe(seen.statuses[0]);
      expect(seen.failure).toBeGreaterThanOrEqual(400);
      expect(seen).toMatchObject({ calls: 1, statuses: [seen.failure] });
    });
  });
});
