import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { settingsSchema } from '#config/schema.ts';
import { importLitellm } from '../../../../services/cli/import/import-litellm.ts';

const production = `
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: azure/gpt-4o-eu
      api_base: https://acme-eu.openai.azure.com/
      api_key: os.environ/AZURE_EU_KEY
      api_version: "2024-10-21"
      rpm: 600
    model_info: { id: eu, base_model: azure/gpt-4o }
  - model_name: gpt-4o
    litellm_params: { model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY, rpm: 300, tpm: 400000 }
  - model_name: gpt-4o-mini
    litellm_params: { model: gpt-4o-mini, api_key: os.environ/OPENAI_API_KEY }
  - model_name: gpt-3.5-turbo
    litellm_params: { model: openai/gpt-3.5-turbo, api_key: sk-literal-one }
    tpm: 20000
    rpm: 3
  - model_name: gpt-3.5-turbo
    litellm_params: { model: openai/gpt-3.5-turbo, api_key: sk-literal-two, weight: 2 }
    tpm: 20000
    rpm: 5
  - model_name: claude
    litellm_params: { model: anthropic/claude-sonnet-5, api_key: os.environ/ANTHROPIC_API_KEY, max_parallel_requests: 20 }
  - model_name: "groq/*"
    litellm_params: { model: "groq/*", api_key: os.environ/GROQ_API_KEY }
  - model_name: llama
    litellm_params:
      model: hosted_vllm/meta-llama/Llama-3.3-70B
      api_base: http://vllm.internal:8000/v1
      api_key: none
      input_cost_per_token: 0.000001
  - model_name: titan
    litellm_params:
      model: bedrock/amazon.titan-text-express-v1
      aws_region_name: eu-west-1
      aws_access_key_id: os.environ/AWS_ACCESS_KEY_ID
      aws_secret_access_key: os.environ/AWS_SECRET_ACCESS_KEY
  - model_name: gemini-pro
    litellm_params: { model: vertex_ai/gemini-2.5-pro, vertex_project: acme-ml, vertex_location: europe-west1 }
  - model_name: nowhere
    litellm_params: { model: mistralai/mistral-7b-instruct }
router_settings:
  routing_strategy: latency-based-routing
  num_retries: 2
  timeout: 120
  redis_host: os.environ/REDIS_HOST
  allowed_fails: 3
  fallbacks: [{ "gpt-4o": ["claude"] }]
  model_group_alias: { gpt-4: gpt-4o }
litellm_settings:
  drop_params: true
  cache: true
  default_fallbacks: [gpt-4o-mini]
general_settings:
  master_key: sk-the-master-key
  alerting: [slack]
environment_variables: { REDIS_PASSWORD: very-secret }
`;

const imported = importLitellm(parse(production));
const { providers, routes, customers } = imported.configuration;
const reasonOf = (path: string) => imported.notes.find((note) => note.path === path)?.reason;
const place = (variable: string) => `\${${variable}:-}`;

let secrets = 0;

describe('a LiteLLM configuration', () => {
  test('becomes providers with their keys, from the environment where they came from it', () => {
    expect(providers.azure).toMatchObject({
      dialect: 'azure',
      base_url: 'https://acme-eu.openai.azure.com',
      api_version: '2024-10-21',
      credentials: [{ id: 'azure-eu-key', api_key: place('AZURE_EU_KEY') }],
      pools: { 'gpt-4o-eu': { models: ['gpt-4o-eu'], ceilings: { rpm: 600 } } },
    });
    expect(providers.anthropic).toMatchObject({
      dialect: 'anthropic',
      base_url: 'https://api.anthropic.com',
      pools: { 'claude-sonnet-5': { ceilings: { concurrency: 20 } } },
    });
    expect(providers.groq).toMatchObject({
      preset: 'groq',
      dialect: 'openai',
      base_url: 'https://api.groq.com/openai/v1',
      pools: { all: { models: ['*'] } },
    });
    expect(providers.hosted_vllm).toMatchObject({
      base_url: 'http://vllm.internal:8000/v1',
      pools: { all: { models: ['meta-llama/Llama-3.3-70B'] } },
    });
    expect(providers.bedrock).toMatchObject({
      dialect: 'bedrock',
      region: 'eu-west-1',
      credentials: [{ api_key: `${place('AWS_ACCESS_KEY_ID')}:${place('AWS_SECRET_ACCESS_KEY')}` }],
    });
    expect(providers.vertex_ai).toMatchObject({
      dialect: 'vertex',
      base_url: 'https://europe-west1-aiplatform.googleapis.com',
      project: 'acme-ml',
      location: 'europe-west1',
    });
  });

  test('models that other keys may call belong to another provider, and keys of one model to one', () => {
    expect(providers.openai).toMatchObject({
      credentials: [{ id: 'openai-api-key', api_key: place('OPENAI_API_KEY') }],
      pools: {
        'gpt-4o': { models: ['gpt-4o'], ceilings: { rpm: 300, tpm: 400_000 } },
        all: { models: ['gpt-4o-mini'] },
      },
    });
    expect(providers['openai-2']).toMatchObject({
      credentials: [
        { id: 'main', api_key: 'sk-literal-one' },
        { id: 'main-2', api_key: 'sk-literal-two', weight: 2 },
      ],
      pools: { 'gpt-3.5-turbo': { ceilings: { rpm: 3, tpm: 20_000 } } },
    });
    expect(reasonOf('model_list.4.litellm_params.rpm')).toContain('smallest');
  });

  test('a name that stands for several models is a route, with the weights, the strategy and the fallbacks it had', () => {
    const targets = [
      { model: 'azure/gpt-4o-eu', weight: 600 },
      { model: 'openai/gpt-4o', weight: 300 },
    ];
    const fallbacks = [{ model: 'anthropic/claude-sonnet-5' }];
    expect(routes['gpt-4o']).toEqual({ strategy: 'latency', targets, fallbacks, retries: 2 });
    expect(routes['gpt-4']).toMatchObject({ targets });
    expect(routes.claude).toMatchObject({ fallbacks: [{ model: 'openai/gpt-4o-mini' }] });
    expect(Object.keys(routes)).not.toContain('gpt-4o-mini');
  });

  test('time-outs hold for every provider, and somebody may call', () => {
    for (const provider of Object.values(providers)) expect(provider.timeouts).toEqual({ total_ms: 120_000 });
    expect(customers).toEqual({ default: { keys: [{ id: 'dev', key: place('SLUICE_DEV_KEY') }] } });
  });

  test.each([
    ['model_list.10.litellm_params.model', 'left out'],
    ['model_list.7.litellm_params.input_cost_per_token', 'no counterpart'],
    ['router_settings.redis_host', 'REDIS_URL'],
    ['router_settings.allowed_fails', 'breaker'],
    ['litellm_settings.drop_params', 'as they are'],
    ['litellm_settings.cache', 'no counterpart'],
    ['general_settings.master_key', 'SLUICE_ADMIN_KEY'],
    ['general_settings.alerting', 'no counterpart'],
    ['environment_variables', 'environment'],
  ])('%s is not dropped in silence', (path, reason) => {
    expect(reasonOf(path)).toContain(reason);
  });

  test('is then one that a start reads', () => {
    const filled = JSON.stringify(imported.configuration).replaceAll(/\$\{\w+:-\}/g, () => `sk-${secrets++}`);
    expect(settingsSchema.safeParse(JSON.parse(filled)).error?.issues).toBeUndefined();
  });

  test('no note tells a secret', () => {
    expect(JSON.stringify(imported.notes)).not.toMatch(/sk-|very-secret/);
  });

  test.each([[{}], [{ model_list: 'x' }], [{ model_list: [1, null, {}] }], ['text'], [null]])(
    'that is none, such as %j, says so and throws nothing',
    (given) => {
      const { configuration, notes } = importLitellm(given);
      expect(configuration.providers).toEqual({});
      expect(notes.length).toBeGreaterThan(0);
    },
  );
});
