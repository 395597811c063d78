import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chat, startSluice, type TestSluice } from '#test/harness/sluice.ts';
import { until } from '#test/harness/until.ts';

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice({ withAdmin: true, withoutWorker: true });
});
afterAll(() => sluice.stop());

type Json = Record<string, unknown>;

async function ask(method: string, path: string, body?: unknown): Promise<Json> {
  const response = await sluice.admin(method, path, body);
  const json = (await response.json()) as Json;
  if (!response.ok) throw new Error(`${response.status} ${JSON.stringify(json)}`);
  return json;
}
const settingsOf = async (path: string) => (await ask('GET', `/admin/${path}`)).settings as Json;

const week = { max_limit: 20, reset_duration: '1w' };
const rates = {
  token_max_limit: 10_000,
  token_reset_duration: '1h',
  request_max_limit: 100,
  request_reset_duration: '1m',
};

describe('the governance API of Bifrost', () => {
  let team: string;
  test('makes customers and teams', async () => {
    const customer = await ask('POST', '/api/governance/customers', { name: 'Acme Corp.', budget: week });
    expect(customer).toMatchObject({
      message: 'Customer created successfully',
      customer: { id: 'Acme-Corp.', name: 'Acme Corp.', budgets: [{ ...week, calendar_aligned: false }] },
    });
    const made = await ask('POST', '/api/governance/teams', { name: 'eng', customer_id: 'Acme-Corp.' });
    expect(made).toMatchObject({ team: { id: 'Acme-Corp./eng', customer_id: 'Acme-Corp.' } });
    team = (made.team as { id: string }).id;
  });

  test('makes a virtual key of its JSON, unchanged', async () => {
    const body = {
      name: 'eng key',
      provider_configs: [
        {
          provider: 'openai',
          weight: 0.7,
          allowed_models: ['gpt-5-mini'],
          key_ids: ['*'],
          budgets: [{ max_limit: 100, reset_duration: '1M', calendar_aligned: true }],
          rate_limit: { token_max_limit: 100_000, token_reset_duration: '1h' },
        },
      ],
      team_id: team,
      budgets: [{ max_limit: 50, reset_duration: '1d' }],
      rate_limit: rates,
      is_active: true,
      expires_at: null,
      allow_all_providers: false,
    };
    const { virtual_key, sluice: extra } = await ask('POST', '/api/governance/virtual-keys', body);
    expect(extra).toEqual({ notes: [] });
    expect(virtual_key).toMatchObject({
      id: 'Acme-Corp./eng-key',
      value: expect.stringMatching(/^sk-sl-[\w-]{32}$/) as string,
      team_id: team,
      customer_id: null,
      rate_limit: rates,
      budgets: [{ max_limit: 50, reset_duration: '1d', calendar_aligned: false }],
      is_active: true,
      provider_configs: [
        {
          provider: 'openai',
          weight: 0.7,
          allowed_models: ['gpt-5-mini'],
          rate_limit: { token_max_limit: 100_000, token_reset_duration: '1h' },
          budgets: [{ max_limit: 100, reset_duration: '1M', calendar_aligned: true }],
        },
      ],
    });
    expect(await settingsOf('virtual-keys/Acme-Corp./eng-key')).toMatchObject({
      team: 'eng',
      provider_configs: [{ provider: 'openai', weight: 0.7, allowed_models: ['gpt-5-mini'] }],
      limits: [
        { tokens: 10_000, window: '1h' },
        { requests: 100, window: '1m' },
        { tokens: 100_000, window: '1h', match: { provider: 'openai' } },
      ],
      budgets: [
        { usd: 50, reset: '1d' },
        { usd: 100, reset: '1M', calendar: true, match: { provider: 'openai' } },
      ],
    });
  });

  test('shows the key by its id, plain or encoded, and never itself again', async () => {
    for (const id of ['Acme-Corp./eng-key', 'Acme-Corp.%2Feng-key']) {
      const { virtual_key } = await ask('GET', `/api/governance/virtual-keys/${id}`);
      expect((virtual_key as Json).value).toMatch(/^sk-sl-.{3}….{4}$/);
    }
    const { virtual_keys, count } = await ask('GET', '/api/governance/virtual-keys');
    expect((virtual_keys as Json[]).length).toBe(count);
  });

  test('changes what a body speaks of, and leaves the rest', async () => {
    const path = '/api/governance/virtual-keys/Acme-Corp./eng-key';
    const { virtual_key } = await ask('PUT', path, {
      is_active: false,
      rate_limit: { request_max_limit: 7 },
    });
    expect(virtual_key).toMatchObject({
      is_active: false,
      rate_limit: { token_max_limit: null, request_max_limit: 7, request_reset_duration: '1m' },
      budgets: [{ max_limit: 50 }],
      provider_configs: [{ rate_limit: { token_max_limit: 100_000 }, budgets: [{ max_limit: 100 }] }],
    });
  });

  test('the old singular budget counts, and what has no counterpart is named', async () => {
    const body = { name: 'old', budget: week, mcp_configs: [{ mcp_client_name: 'x' }], description: 'd' };
    const { virtual_key, sluice: extra } = await ask('POST', '/api/governance/virtual-keys', body);
    expect(virtual_key).toMatchObject({
      id: 'default/old',
      budgets: [{ max_limit: 20 }],
      allow_all_providers: true,
    });
    expect((extra as { notes: { path: string }[] }).notes.map(({ path }) => path)).toEqual([
      'description',
      'mcp_configs',
    ]);
  });

  test.each([
    ['both a team and a customer', { name: 'x', team_id: 'Acme-Corp./eng', customer_id: 'Acme-Corp.' }, 400],
    ['no name', {}, 400],
    ['a team that is not there', { name: 'x', team_id: 'nowhere' }, 404],
    ['a customer that is not there', { name: 'x', customer_id: 'nowhere' }, 404],
    ['a key that is too short', { name: 'x', value: 'short' }, 400],
    ['an end that is no time', { name: 'x', expires_at: 'tomorrow' }, 400],
  ])('refuses a key with %s', async (_what, body, status) => {
    expect((await sluice.admin('POST', '/api/governance/virtual-keys', body)).status).toBe(status);
  });

  test('takes keys out', async () => {
    const { message } = await ask('DELETE', '/api/governance/virtual-keys/Acme-Corp./eng-key');
    expect(message).toBe('Virtual key deleted successfully');
    expect((await sluice.admin('GET', '/api/governance/virtual-keys/Acme-Corp./eng-key')).status).toBe(404);
  });
});

describe('the key management of LiteLLM', () => {
  let key: string;
  test('makes teams, users and keys', async () => {
    const team = await ask('POST', '/team/new', {
      team_alias: 'search',
      tpm_limit: 5000,
      models: ['gpt-5-mini'],
    });
    expect(team).toMatchObject({ team_id: 'default/search', team_alias: 'search', tpm_limit: 5000 });
    const user = await ask('POST', '/user/new', { user_id: 'u1', max_budget: 10, budget_duration: '30d' });
    expect(user).toMatchObject({
      user_id: 'u1',
      key: expect.stringMatching(/^sk-sl-/) as string,
      max_budget: 10,
    });
    const made = await ask('POST', '/key/generate', {
      models: ['gpt-5-mini'],
      team_id: 'default/search',
      key_alias: 'ci',
      duration: '30d',
      max_budget: 10,
      budget_duration: '30d',
      tpm_limit: 20_000,
      rpm_limit: 100,
      max_parallel_requests: 5,
      model_max_budget: {},
      metadata: { priority: 'prod' },
    });
    expect(made).toMatchObject({
      key: expect.stringMatching(/^sk-sl-[\w-]{32}$/) as string,
      key_alias: 'ci',
      models: ['gpt-5-mini'],
      spend: 0,
      max_budget: 10,
      budget_duration: '30d',
      tpm_limit: 20_000,
      rpm_limit: 100,
      max_parallel_requests: 5,
      team_id: 'default/search',
      token_id: 'default/ci',
      sluice: { notes: [{ path: 'metadata' }] },
    });
    const daysLeft =
      (Date.parse(made.expires as string) - Date.parse(new Date(0).toISOString())) / 86_400_000;
    expect(daysLeft).toBeGreaterThan(30);
    key = made.key as string;
    expect(await settingsOf('virtual-keys/default/ci')).toMatchObject({
      team: 'search',
      limits: [{ tokens: 20_000, window: '1m' }, { requests: 100, window: '1m' }, { concurrency: 5 }],
      budgets: [{ usd: 10, reset: '30d' }],
    });
  });

  test('tells of a key by itself, by its token or by its alias', async () => {
    for (const given of [key, 'default/ci', 'ci']) {
      const { info } = await ask('GET', `/key/info?key=${encodeURIComponent(given)}`);
      expect(info).toMatchObject({ key_alias: 'ci', rpm_limit: 100 });
      expect(JSON.stringify(info)).not.toContain(key);
    }
  });

  test('changes one limit and leaves the others, also those it has no words for', async () => {
    const limits = [
      ...((await settingsOf('virtual-keys/default/ci')).limits as object[]),
      { requests: 9, window: '1d' },
    ];
    await ask('PATCH', '/admin/virtual-keys/default/ci', { limits });
    expect(await ask('POST', '/key/update', { key, rpm_limit: 50 })).toMatchObject({
      rpm_limit: 50,
      tpm_limit: 20_000,
      max_parallel_requests: 5,
      max_budget: 10,
    });
    expect((await settingsOf('virtual-keys/default/ci')).limits).toMatchObject([
      { tokens: 20_000 },
      { requests: 50, window: '1m' },
      { concurrency: 5 },
      { requests: 9, window: '1d' },
    ]);
  });

  test('takes a limit and an end away with null', async () => {
    const changed = await ask('POST', '/key/update', { key, rpm_limit: null, duration: null });
    expect(changed).toMatchObject({ rpm_limit: null, tpm_limit: 20_000, expires: null });
  });

  test('tells what a key has spent of its budget, and lists keys by pages', async () => {
    const call = { endpoint: '/v1/chat/completions', body: { ...chat(), max_tokens: 1_000 } };
    const submit = async () => (await sluice.post('/v1/jobs', call, { authorization: `Bearer ${key}` })).ok;
    await until('the ingress knows the key, and takes its call', submit);
    const { info } = await ask('GET', `/key/info?key=${key}`);
    // A thousand tokens at 2 USD a million, and a few of input.
    const { spend } = info as { spend: number };
    expect(spend).toBeGreaterThan(0);
    expect(spend).toBeLessThan(0.0021);
    const page = await ask('GET', '/key/list?team_id=default/search&return_full_object=true');
    expect(page).toMatchObject({
      keys: [{ token: 'default/ci', team_id: 'default/search', spend }],
      ...{ total_count: 1, current_page: 1, total_pages: 1 },
    });
    expect((await ask('GET', '/key/list?size=1&page=2')).keys).toHaveLength(1);
  });

  test('takes keys out, and then knows them no more', async () => {
    expect(await ask('POST', '/key/delete', { keys: [key] })).toEqual({ deleted_keys: [key] });
    const gone = await sluice.admin('GET', `/key/info?key=${key}`);
    expect(gone.status).toBe(404);
    expect(await gone.text()).not.toContain(key);
  });
});
