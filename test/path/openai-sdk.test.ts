import OpenAI, { AuthenticationError, BadRequestError, InternalServerError, NotFoundError } from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
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
function client(maxRetries: number, apiKey = testKey): OpenAI {
  return new OpenAI({
    apiKey,
    maxRetries,
    baseURL: `${sluice.url}/v1`,
    fetch: (url, init) => {
      requests++;
      return fetch(url, init);
    },
  });
}

async function failureOf(call: Promise<unknown>): Promise<InstanceType<typeof OpenAI.APIError>> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof OpenAI.APIError)) throw new Error('did not fail with an APIError', { cause: error });
  return error;
}

const messages = [{ role: 'user' as const, content: 'hello' }];

describe.each([{ maxRetries: 0 }, { maxRetries: 2 }])(
  'the openai package with $maxRetries retries',
  ({ maxRetries }) => {
    test('completes a chat and reads its usage', async () => {
      const completion = await client(maxRetries).chat.completions.create({ model: 'gpt-5-mini', messages });
      expect(completion.choices[0]?.message.content).toMatch(/\w/);
      expect(completion.usage?.total_tokens).toBeGreaterThan(0);
      expect({ requests, calls: arrivalsAt(sluice.simulator).length }).toEqual({ requests: 1, calls: 1 });
    });

    test('embeds by its default encoding (base64) and as floats, with equal vectors', async () => {
      const input = ['one', 'two'];
      const packed = await client(maxRetries).embeddings.create({ model: 'text-embedding-3-small', input });
      const floats = await client(maxRetries).embeddings.create({
        model: 'text-embedding-3-small',
        input,
        encoding_format: 'float',
      });
      expect(packed.data).toHaveLength(2);
      expect(packed.data[0]!.embedding.length).toBeGreaterThan(100);
      for (const [index, { embedding }] of floats.data.entries()) {
        for (const [at, value] of embedding.entries())
          expect(packed.data[index]!.embedding[at]).toBeCloseTo(value, 5);
      }
    });

    test('lists models and retrieves one', async () => {
      const listed = await client(maxRetries).models.list();
      expect(listed.data.map(({ id }) => id)).toContain('gpt-5-mini');
      expect((await client(maxRetries).models.retrieve('gpt-5-mini')).id).toBe('gpt-5-mini');
      expect(await failureOf(client(maxRetries).models.retrieve('gpt-none'))).toBeInstanceOf(NotFoundError);
    });

    test('throws AuthenticationError for a key that is not known, and does not try again', async () => {
      const error = await failureOf(
        client(maxRetries, 'sk-wrong').chat.completions.create({ model: 'gpt-5-mini', messages }),
      );
      expect(error).toBeInstanceOf(AuthenticationError);
      expect(error).toMatchObject({ status: 401, code: 'invalid_key', type: 'invalid_request_error' });
      expect(requests).toBe(1);
    });

    test('throws NotFoundError for a model that is not served here', async () => {
      const error = await failureOf(
        client(maxRetries).chat.completions.create({ model: 'gpt-none', messages }),
      );
      expect(error).toBeInstanceOf(NotFoundError);
      expect(error).toMatchObject({ status: 404, code: 'model_not_found', param: 'model' });
      expect({ requests, calls: arrivalsAt(sluice.simulator).length }).toEqual({ requests: 1, calls: 0 });
    });

    test('throws NotFoundError with the provider’s own words for a model the provider refuses', async () => {
      const error = await failureOf(
        client(maxRetries).chat.completions.create({ model: 'no-such-x', messages }),
      );
      expect(error).toBeInstanceOf(NotFoundError);
      expect(error.message).toContain('The model `no-such-x` does not exist');
      expect({ requests, calls: arrivalsAt(sluice.simulator).length }).toEqual({ requests: 1, calls: 1 });
    });

    test('throws BadRequestError that names the parameter', async () => {
      const call = client(maxRetries).chat.completions.create({
        model: 'gpt-5-mini',
        messages: 'hi' as never,
      });
      const error = await failureOf(call);
      expect(error).toBeInstanceOf(BadRequestError);
      expect(error).toMatchObject({ code: 'invalid_request', param: 'messages' });
      expect({ requests, calls: arrivalsAt(sluice.simulator).length }).toEqual({ requests: 1, calls: 0 });
    });

    test('sees no provider error that passes: Sluice alone tries again', async () => {
      sluice.simulator.faults.add({ match: {}, times: 1, fault: { status: 500 } });
      const completion = await client(maxRetries).chat.completions.create({ model: 'gpt-5-mini', messages });
      expect(completion.choices).toHaveLength(1);
      expect({ requests, calls: arrivalsAt(sluice.simulator).map(({ status }) => status) }).toEqual({
        requests: 1,
        calls: [500, 200],
      });
    });

    test('is told not to pay again when the provider keeps failing', async () => {
      const error = await failureOf(
        client(maxRetries).chat.completions.create(chat('broken', { status: 500 }) as never),
      );
      expect(error).toBeInstanceOf(InternalServerError);
      expect({ requests, calls: arrivalsAt(sluice.simulator).length }).toEqual({
        requests: 1,
        calls: sluice.settings.jobs.attempts_max,
      });
    });
  },
);
