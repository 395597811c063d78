import { expect, test } from 'vitest';
import { presetNames } from '#config/presets.ts';
import { providerSchema } from '#config/provider-schema.ts';
import { presetOfUrl } from '../../../../services/cli/import/known-hosts.ts';

const pools = { all: { models: ['m'] } };
const credentials = [{ id: 'main', api_key: 'k' }];
/** They say no more than the dialect, or have no host of their own. */
const withoutHost = ['openai', 'anthropic', 'azure', 'gemini', 'vertex', 'bedrock', 'vllm'];

test.each(presetNames.filter((name) => !withoutHost.includes(name)))(
  'an imported provider at the host of a preset gets it: %s',
  (preset) => {
    expect(presetOfUrl(providerSchema.parse({ preset, credentials, pools }).base_url)).toBe(preset);
  },
);

test.each(['https://api.openai.com/v1', 'https://models.example.com/v1', 'no url'])('%s has none', (url) => {
  expect(presetOfUrl(url)).toBeUndefined();
});
