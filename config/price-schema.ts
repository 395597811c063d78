import { z } from 'zod';

const perMillion = (reason: string) =>
  z.number().nonnegative().max(100_000).optional().describe(`${reason} USD per million tokens.`);

/** What a model costs, where the price list does not know it, or somebody pays another price. */
const modelPriceSchema = z.strictObject({
  input: perMillion('Input.').default(0),
  output: perMillion('Output.').default(0),
  cached_input: perMillion('Input that was read from the prompt cache; unset: as other input.'),
  cache_write: perMillion('Input that was written to the prompt cache; unset: as other input.'),
  request: z.number().nonnegative().max(1_000).default(0).describe('Each call besides. USD.'),
});

/** Prices of one provider. */
export const priceFields = {
  price_list: z
    .string()
    .min(1)
    .max(64)
    .optional()
    .describe(
      'Whose list prices hold, by its name in the price library (openai, anthropic, azure, …); `none`: only `prices`. Unset: found by `base_url`, then by the name of the provider.',
    ),
  prices: z
    .record(z.string().min(1).max(200), modelPriceSchema)
    .default({})
    .describe('Prices that go before the list, by model; `prefix*` holds for every model that begins so.'),
};
