import { expect, test } from 'vitest';
import { chargedUsage } from '../../../services/worker/charged-usage.ts';
import { answerOf } from '../../../services/worker/settle-outcome.ts';
import { testSettings } from '../../harness/test-settings.ts';

const usage = { inputTokens: 100, cachedInputTokens: 60, outputTokens: 7 };
const response = { status: 200, headers: {}, body: Buffer.from('{}') };
const held = { ticket: { v: 1, tenant: 'acme', job: 'job_1', input: 90 } } as never;

function chargedBy(pool: object): number | undefined {
  const over = { providers: { openai: { pools: { chat: pool } } } };
  const settings = testSettings('http://127.0.0.1:1', over).providers.openai!.pools.chat;
  const ending = answerOf('succeeded', response, usage);
  return chargedUsage(ending, { kind: 'answered', response, usage }, held, settings)?.in;
}

test.each([
  [100, {}],
  [100, { token_accounting: 'input_only' }],
  [40, { token_accounting: 'input_plus_output_actual' }],
  [40, { token_accounting: 'bedrock' }],
  [40, { token_accounting: 'input_only', cached_input: 'free' }],
  [100, { token_accounting: 'input_plus_output_actual', cached_input: 'counted' }],
])('input that the prompt cache read counts where the provider counts it: %i with %j', (charged, pool) => {
  expect(chargedBy(pool)).toBe(charged);
});
