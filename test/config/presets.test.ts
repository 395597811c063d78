import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse as parseYaml } from 'yaml';
import { presetNames } from '#config/presets.ts';
import { providerSchema } from '#config/provider-schema.ts';

const credentials = [{ id: 'main', api_key: 'k' }];
const pools = { all: { models: ['m'] } };
/** What a preset cannot know. */
const needed: Record<string, object> = {
  azure: { base_url: 'https://acme.openai.azure.com' },
  vertex: { project: 'acme' },
  bedrock: { region: 'eu-west-1' },
};
const parse = (given: object) => providerSchema.parse({ credentials, pools, ...given });

test.each(presetNames)('a provider needs no more than its preset, its keys and its models: %s', (preset) => {
  const provider = parse({ preset, ...needed[preset] });
  expect(provider.base_url).toMatch(/^https?:\/\/[a-z0-9.:-]+/);
  expect(provider.base_url).not.toContain('{');
});

test('hosts that ask for no key bring one', () => {
  expect(providerSchema.parse({ preset: 'ollama', pools }).credentials).toEqual([
    { id: 'local', api_key: 'ollama', weight: 1 },
  ]);
});

test('what is given goes before the preset, field by field', () => {
  const own = { models: ['m'], token_accounting: 'max_of_both', ceilings: { rpm: 7 } };
  const provider = parse({ preset: 'deepseek', base_url: 'http://proxy/v1', pools: { own, ...pools } });
  expect(provider.base_url).toBe('http://proxy/v1');
  expect(provider.pools.own).toMatchObject({
    token_accounting: 'max_of_both',
    ceilings: { rpm: 7, concurrency: 500 },
  });
  expect(provider.pools.all).toMatchObject({ token_accounting: 'input_plus_output_actual' });
  expect(
    parse({ preset: 'deepseek', pools: { all: { ...pools.all, ceilings: 'auto' } } }).pools.all!.ceilings,
  ).toEqual({ auto: true });
});

test('a dialect alone brings what is known of its own provider', () => {
  expect(parse({ dialect: 'gemini' })).toMatchObject({
    base_url: 'https://generativelanguage.googleapis.com',
    pools: { all: { token_accounting: 'input_only' } },
  });
  expect(parse({ dialect: 'azure', ...needed.azure }).pools.all!.slice_ms).toBe(1_000);
});

test('places are filled into the address', () => {
  expect(parse({ dialect: 'bedrock', region: 'eu-west-1' }).base_url).toBe(
    'https://bedrock-runtime.eu-west-1.amazonaws.com',
  );
  expect(parse({ dialect: 'vertex', project: 'acme' }).base_url).toBe('https://aiplatform.googleapis.com');
  expect(parse({ dialect: 'vertex', project: 'acme', location: 'europe-west4' }).base_url).toBe(
    'https://europe-west4-aiplatform.googleapis.com',
  );
});

test('what an output token counts at Bedrock follows from the models of the pool, the dearest first', () => {
  const burndownOf = (...models: string[]) =>
    parse({ dialect: 'bedrock', ...needed.bedrock, pools: { all: { models } } }).pools.all!.burndown;
  expect(burndownOf('us.anthropic.claude-opus-4-8-20260301-v1:0')).toBe(15);
  expect(burndownOf('anthropic.claude-sonnet-5-v1:0', 'amazon.nova-pro-v1:0')).toBe(10);
  expect(burndownOf('anthropic.claude-sonnet-4-5-20250929-v1:0')).toBe(5);
  expect(burndownOf('amazon.nova-pro-v1:0')).toBe(1);
});

test.each([
  [{ preset: 'no-such-host' }, 'preset'],
  [{ dialect: 'openai-like' }, 'dialect'],
  [{ dialect: 'azure' }, 'base_url'],
  [{ dialect: 'bedrock' }, 'base_url'],
  [{ dialect: 'vertex' }, 'project'],
])('what is missing or unknown is refused by its name: %j', (given, path) => {
  const { error } = providerSchema.safeParse({ credentials, pools, ...given });
  expect(error?.issues.map((issue) => issue.path.join('.'))).toContain(path);
});

test('the hosts that the README adds are configuration alone', () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  const [, added] = /```diff\n( providers:\n[\s\S]*?)```/.exec(readme)!;
  const { providers } = parseYaml(added!.replaceAll(/^[+ ]/gm, '')) as { providers: Record<string, object> };
  expect(Object.keys(providers).length).toBeGreaterThan(1);
  for (const provider of Object.values(providers)) expect(() => providerSchema.parse(provider)).not.toThrow();
});
