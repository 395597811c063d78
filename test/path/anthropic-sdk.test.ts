import Anthropic, { AuthenticationError, BadRequestError, NotFoundError } from '@anthropic-ai/sdk';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startSluice, type TestSluice } from '../harness/sluice.ts';
import { testKey } from '../harness/test-settings.ts';
import { arrivalsAt } from './support.ts';

let sluice: TestSluice;
let requests = 0;
beforeAll(async () => {
  sluice = await startSluice();
});
afterAll(() => sluice.stop());
beforeEach(() => {
  sluice.simulator.log.clear();
  requests = 0;
});

/** The official package with its base URL changed; requests on the wire are counted. */
function client(maxRetries: number, apiKey = testKey): Anthropic {
  return new Anthropic({
    apiKey,
    maxRetries,
    baseURL: sluice.url,
    fetch: (url, init) => {
      requests++;
      return fetch(url, init);
    },
  });
}

async function failureOf(call: Promise<unknown>): Promise<InstanceType<typeof Anthropic.APIError>> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof Anthropic.APIError))
    throw new Error('did not fail with an APIError', { cause: error });
  return error;
}

const message = {
  model: 'claude-sonnet-5',
  max_tokens: 64,
  messages: [{ role: 'user' as const, content: 'hello' }],
};

describe.each([{ maxRetries: 0 }, { maxRetries: 2 }])(
  'the @anthropic-ai/sdk package with $maxRetries retries',
  ({ maxRetries }) => {
    test('creates a message and reads its usage', async () => {
      const answer = await client(maxRetries).messages.create(message);
      expect(answer.content[0]).toMatchObject({ type: 'text' });
      expect(answer.usage.output_tokens).toBeGreaterThan(0);
      expect({ requests, calls: arrivalsAt(sluice.simulator).length }).toEqual({ requests: 1, calls: 1 });
    });

    test('lists models and retrieves one', async () => {
      const listed = await client(maxRetries).models.list();
      expect(listed.data.map(({ id }) => id)).toContain('claude-sonnet-5');
      expect(await client(maxRetries).models.retrieve('claude-sonnet-5')).toMatchObject({
        type: 'model',
        id: 'claude-sonnet-5',
      });
    });

    test('throws AuthenticationError for a key that is not known', async () => {
      const error = await failureOf(client(maxRetries, 'sk-wrong').messages.create(message));
      expect(error).toBeInstanceOf(AuthenticationError);
      expect(error.error).toMatchObject({
        type: 'error',
        error: { type: 'authentication_error', code: 'invalid_key' },
      });
      expect(requests).toBe(1);
    });

    test('throws NotFoundError for a model that is not served here', async () => {
      const error = await failureOf(client(maxRetries).messages.create({ ...message, model: 'other' }));
      expect(error).toBeInstanceOf(NotFoundError);
      expect(error.error).toMatchObject({ error: { type: 'not_found_error', code: 'model_not_found' } });
      expect({ requests, calls: arrivalsAt(sluice.simulator).length }).toEqual({ requests: 1, calls: 0 });
    });

    test('throws NotFoundError with the provider’s own body for a model the provider refuses', async () => {
      const refusal = { type: 'error', error: { type: 'not_found_error', message: 'model: claude-no-such' } };
      sluice.simulator.faults.add({
        match: { model: 'claude-no-such' },
        times: 1,
        fault: { status: 404, body: refusal },
      });
      const error = await failureOf(
        client(maxRetries).messages.create({ ...message, model: 'claude-no-such' }),
      );
      expect(error).toBeInstanceOf(NotFoundError);
      expect(error.error).toEqual(refusal);
      expect({ requests, calls: arrivalsAt(sluice.simulator).length }).toEqual({ requests: 1, calls: 1 });
    });

    test('throws BadRequestError for a missing max_tokens', async () => {
      const { max_tokens: _, ...unbounded } = message;
      const missing = await failureOf(client(maxRetries).messages.create(unbounded as never));
      expect(missing).toBeInstanceOf(BadRequestError);
      expect(missing.error).toMatchObject({
        error: { type: 'invalid_request_error', code: 'invalid_request' },
      });
      expect({ requests, calls: arrivalsAt(sluice.simulator).length }).toEqual({ requests: 1, calls: 0 });
    });

    test('sees no overload that passes: Sluice alone tries again', async () => {
      sluice.simulator.faults.add({ match: {}, times: 1, fault: { status: 529 } });
      expect((await client(maxRetries).messages.create(message)).type).toBe('message');
      expect({ requests, calls: arrivalsAt(sluice.simulator).map(({ status }) => status) }).toEqual({
        requests: 1,
        calls: [529, 200],
      });
    });
  },
);
