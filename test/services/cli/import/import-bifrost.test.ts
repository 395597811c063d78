import { describe, expect, test } from 'vitest';
import { settingsSchema } from '#config/schema.ts';
import { importBifrost } from '../../../../services/cli/import/import-bifrost.ts';

const azureKey = (id: string, deployments: Record<string, string>) => ({
  id,
  name: `${id}-name`,
  value: `env.AZURE_${id.toUpperCase()}`,
  models: Object.keys(deployments),
  weight: 1,
  azure_key_config: {
    endpoint: `https://acme-${id}.openai.azure.com/`,
    api_version: '2025-03-01-preview',
    deployments,
  },
});
const awsKey = { access_key: 'env.AWS_ID', secret_key: 'env.AWS_SECRET', region: 'eu-central-1' };
const vertexKey = { project_id: 'acme-ml', region: 'us-east1', auth_credentials: 'env.GOOGLE' };

const providersThere = {
  openai: {
    keys: [{ name: 'openai-main', value: 'env.OPENAI_API_KEY', models: ['*'], weight: 0.7 }],
    network_config: { default_request_timeout_in_seconds: 60, max_retries: 3 },
    concurrency_and_buffer_size: { concurrency: 300, buffer_size: 5000 },
  },
  azure: {
    keys: [
      azureKey('eu', { 'gpt-4o': 'gpt-4o', 'gpt-5': 'five-of-eu' }),
      azureKey('us', { 'gpt-4o': 'gpt-4o' }),
    ],
  },
  bedrock: { keys: [{ name: 'aws', models: ['anthropic.claude-sonnet-5'], bedrock_key_config: awsKey }] },
  vertex: { keys: [{ name: 'google', models: ['gemini-2.5-pro'], vertex_key_config: vertexKey }] },
  ollama: { keys: [], network_config: { base_url: 'http://127.0.0.1:11434' } },
};

const engineering = {
  id: 'vk-1',
  name: 'Engineering',
  value: 'sk-bf-engineering-key',
  team_id: 't-1',
  is_active: true,
  rate_limit: { token_max_limit: 10000, token_reset_duration: '1h' },
  provider_configs: [
    { provider: 'azure', key_ids: ['eu'], allowed_models: ['*'], weight: 0.5 },
    {
      provider: 'openai',
      key_ids: ['*'],
      allowed_models: ['gpt-4o'],
      budgets: [{ max_limit: 5, reset_duration: '1d' }],
    },
  ],
  mcp_configs: [{ mcp_client_name: 'x' }],
};

const production = {
  $schema: 'https://www.getbifrost.ai/schema',
  client: { drop_excess_requests: true, enable_logging: true, allowed_origins: ['*'] },
  config_store: { enabled: true, type: 'sqlite', config: { path: 'config.db' } },
  encryption_key: 'very-secret-passphrase',
  plugins: [{ name: 'semantic_cache', enabled: true }],
  providers: providersThere,
  governance: {
    customers: [{ id: 'c-1', name: 'Acme Corp.', budget_id: 'b-1', rate_limit_id: 'r-1' }],
    teams: [{ id: 't-1', name: 'eng', customer_id: 'c-1', budget: { max_limit: 20, reset_duration: '1w' } }],
    budgets: [
      { id: 'b-1', max_limit: 500, reset_duration: '1M', current_usage: 12.5, calendar_aligned: true },
    ],
    rate_limits: [{ id: 'r-1', request_max_limit: 1000, request_reset_duration: '1h' }],
    routing_rules: [{ name: 'x', cel_expression: 'true' }],
    virtual_keys: [
      engineering,
      { name: 'closed', value: 'env.CLOSED_KEY', is_active: false, provider_configs: [] },
    ],
  },
};

const imported = importBifrost(production);
const { providers, routes, customers } = imported.configuration;
const reasonOf = (path: string) => imported.notes.find((note) => note.path === path)?.reason;
const place = (variable: string) => `\${${variable}:-}`;

let secrets = 0;

describe('a Bifrost configuration', () => {
  test('becomes providers: one for each endpoint, with the keys it had', () => {
    expect(providers.openai).toEqual({
      dialect: 'openai',
      base_url: 'https://api.openai.com/v1',
      timeouts: { total_ms: 60_000 },
      credentials: [{ id: 'openai-main', api_key: place('OPENAI_API_KEY'), weight: 0.7 }],
      pools: { all: { models: ['*'], concurrency: 300 } },
    });
    expect(providers.azure).toMatchObject({
      dialect: 'azure',
      base_url: 'https://acme-eu.openai.azure.com',
      api_version: '2025-03-01-preview',
      credentials: [{ id: 'eu-name', api_key: place('AZURE_EU') }],
      pools: { all: { models: ['gpt-4o', 'five-of-eu'] } },
    });
    expect(providers['azure-2']).toMatchObject({ base_url: 'https://acme-us.openai.azure.com' });
    expect(providers.bedrock).toMatchObject({
      region: 'eu-central-1',
      credentials: [{ api_key: `${place('AWS_ID')}:${place('AWS_SECRET')}` }],
    });
    expect(providers.vertex).toMatchObject({
      project: 'acme-ml',
      location: 'us-east1',
      credentials: [{ api_key: place('GOOGLE') }],
    });
    expect(providers.ollama).toMatchObject({
      base_url: 'http://127.0.0.1:11434/v1',
      credentials: [{ api_key: 'none' }],
    });
  });

  test('a model whose deployment has another name is a route', () => {
    expect(routes).toEqual({ 'gpt-5': { targets: [{ model: 'azure/five-of-eu' }] } });
  });

  test('becomes customers with teams and keys, and the limits and budgets of each', () => {
    expect(customers['Acme-Corp.']).toEqual({
      name: 'Acme Corp.',
      limits: [{ requests: 1000, window: '1h' }],
      budgets: [{ usd: 500, reset: '1M', calendar: true }],
      teams: { eng: { name: 'eng', budgets: [{ usd: 20, reset: '1w' }] } },
      keys: [
        {
          id: 'Engineering',
          name: 'Engineering',
          key: 'sk-bf-engineering-key',
          team: 'eng',
          is_active: true,
          provider_configs: [
            { provider: 'azure', weight: 0.5 },
            { provider: 'openai', allowed_models: ['gpt-4o'] },
          ],
          limits: [{ tokens: 10_000, window: '1h' }],
          budgets: [{ usd: 5, reset: '1d', match: { provider: 'openai' } }],
        },
      ],
    });
    expect(customers.default).toEqual({
      keys: [
        { id: 'closed', name: 'closed', key: place('CLOSED_KEY'), is_active: false, allowed_providers: [] },
      ],
    });
  });

  test.each([
    ['client.drop_excess_requests', 'refused'],
    ['client.allowed_origins', 'REFERENCE'],
    ['plugins', 'no counterpart'],
    ['encryption_key', 'SLUICE_SECRET_KEY'],
    ['providers.openai.network_config.max_retries', 'jobs'],
    ['providers.openai.concurrency_and_buffer_size.buffer_size', 'max_queue_depth'],
    ['governance.routing_rules', 'rules of a route'],
    ['governance.budgets.0.current_usage', 'begins anew'],
    ['governance.virtual_keys.0.mcp_configs', 'no counterpart'],
  ])('%s is not dropped in silence', (path, reason) => {
    expect(reasonOf(path)).toContain(reason);
  });

  test('is then one that a start reads', () => {
    const filled = JSON.stringify(imported.configuration).replaceAll(/\$\{\w+:-\}/g, () => `sk-${secrets++}`);
    expect(settingsSchema.safeParse(JSON.parse(filled)).error?.issues).toBeUndefined();
  });

  test('no note tells a secret', () => {
    expect(JSON.stringify(imported.notes)).not.toMatch(/sk-bf|very-secret/);
  });

  test('an empty list of models allows everything before 1.5, and nothing since', () => {
    const key = { name: 'a', value: 'sk-a', models: [] };
    const of = (version: number) => importBifrost({ version, providers: { openai: { keys: [key] } } });
    expect(of(1).configuration.providers.openai!.pools).toEqual({ all: { models: ['*'] } });
    expect(of(2).configuration.providers).toEqual({});
    expect(of(2).notes.map(({ path }) => path)).toContain('providers.openai.keys.0.models');
  });

  test.each([[{}], [{ providers: 'x' }], [{ providers: { openai: { keys: [1, null] } } }], [7], [null]])(
    'that is none, such as %j, says so and throws nothing',
    (given) => {
      const { configuration, notes } = importBifrost(given);
      expect(configuration.providers).toEqual({});
      expect(notes.length).toBeGreaterThan(0);
    },
  );
});
