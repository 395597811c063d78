import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startSluice, type TestSluice } from '#test/harness/sluice.ts';
import { until } from '#test/harness/until.ts';

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice({ withAdmin: true, withoutWorker: true });
});
afterAll(() => sluice.stop());

interface Thing {
  id: string;
  source: string;
  version: number;
  changed: Record<string, unknown>;
  settings: Record<string, unknown>;
}

/** Asks, and returns what was answered. */
async function ask(method: string, path: string, body?: unknown, headers?: Record<string, string>) {
  const response = await sluice.admin(method, path, body, headers);
  const text = await response.text();
  const json = (text === '' ? {} : JSON.parse(text)) as Thing & {
    code?: string;
    title?: string;
    key?: string;
    data?: Thing[];
    has_more?: boolean;
    last_id?: string;
  };
  return { status: response.status, etag: response.headers.get('etag'), headers: response.headers, json };
}

describe('things of the file', () => {
  test('are shown as such, without their keys and what belongs to them', async () => {
    const { json, etag } = await ask('GET', '/admin/customers/acme');
    expect(json).toMatchObject({
      id: 'acme',
      source: 'file',
      version: 0,
      changed: {},
      settings: { weight: 1 },
    });
    expect(etag).toBe('"0"');
    expect(json.settings).not.toHaveProperty('keys');
    const credential = await ask('GET', '/admin/credentials/openai/main');
    expect(JSON.stringify(credential.json)).not.toContain('sk-simulator');
    const key = await ask('GET', '/admin/virtual-keys/acme/test');
    expect(JSON.stringify(key.json)).not.toContain('sk-sl-test');
  });

  test('can be changed and brought back, and cannot be taken out', async () => {
    const changed = await ask('PATCH', '/admin/customers/rival', { weight: 3 });
    expect(changed.json).toMatchObject({
      source: 'file+changed',
      changed: { weight: 3 },
      settings: { weight: 3 },
    });
    expect((await ask('DELETE', '/admin/customers/rival')).status).toBe(204);
    expect((await ask('GET', '/admin/customers/rival')).json).toMatchObject({
      source: 'file',
      settings: { weight: 1 },
    });
    expect((await ask('DELETE', '/admin/customers/rival')).json).toMatchObject({ code: 'object_of_file' });
  });

  test('have fields that null takes back', async () => {
    await ask('PATCH', '/admin/pools/openai/chat', { concurrency: 7, guard_ms: 100 });
    const { json } = await ask('PATCH', '/admin/pools/openai/chat', { concurrency: null });
    expect(json).toMatchObject({ changed: { guard_ms: 100 }, settings: { concurrency: 256, guard_ms: 100 } });
    await ask('DELETE', '/admin/pools/openai/chat');
  });
});

describe('what is made while running', () => {
  test('is there for callers at once, and gone when it is taken out', async () => {
    const models = async () => ((await (await sluice.get('/v1/models')).json()) as { data: Thing[] }).data;
    const provider = { id: 'second', dialect: 'openai', base_url: 'http://127.0.0.1:1/v1' };
    expect((await ask('POST', '/admin/providers', provider)).status).toBe(201);
    const key = { provider: 'second', id: 'main', api_key: 'sk-the-secret-of-second' };
    const made = await ask('POST', '/admin/credentials', key);
    expect(made.json.settings).toMatchObject({ api_key: '…cond' });
    const pool = await ask('POST', '/admin/pools', {
      provider: 'second',
      id: 'all',
      models: ['made-while-running'],
    });
    expect(pool.headers.get('location')).toBe('/admin/pools/second/all');
    await until('callers see the model', async () =>
      (await models()).some(({ id }) => id === 'made-while-running'),
    );
    const weighted = await ask('PATCH', '/admin/credentials/second/main', { weight: 2 });
    expect(weighted.json.settings).toMatchObject({ api_key: '…cond', weight: 2 });
    expect((await ask('DELETE', '/admin/providers/second')).json).toMatchObject({ code: 'document_in_use' });
    for (const path of ['pools/second/all', 'credentials/second/main', 'providers/second'])
      expect((await ask('DELETE', `/admin/${path}`)).status).toBe(204);
    await until('it is gone', async () => !(await models()).some(({ id }) => id === 'made-while-running'));
  });

  test('is listed page by page', async () => {
    for (const id of ['p1', 'p2', 'p3']) await ask('POST', '/admin/customers', { id });
    const first = (await ask('GET', '/admin/customers?after=p&limit=2')).json;
    expect(first).toMatchObject({ has_more: true, last_id: 'p2' });
    const rest = (await ask('GET', `/admin/customers?after=${first.last_id}&limit=2`)).json;
    expect(rest.data!.map(({ id }) => id)).toEqual(['p3', 'rival']);
  });

  test.each([
    ['customers', { id: 'a b' }],
    ['customers', { id: '__proto__' }],
    ['customers', { id: '../x' }],
    ['customers', { id: 'x', weight: -1 }],
    ['customers', { id: 'x', no_such_field: 1 }],
    ['customers', { id: 'x', keys: [] }],
    ['customers', { id: 7 }],
    ['teams', { id: 'x' }],
    ['teams', { id: 'x', customer: 'nobody' }],
    ['pools', { id: 'x', provider: 'openai' }],
    ['providers', { id: 'x', dialect: 'openai', base_url: 'not a url' }],
    ['providers', []],
    ['providers', 'text'],
  ])('is refused when it is not valid: %s %j', async (kind, body) => {
    const { status, json } = await ask('POST', `/admin/${kind}`, JSON.stringify(body));
    expect({ status, code: json.code }).toEqual({ status: 400, code: expect.any(String) as string });
  });

  test.each(['constructor', '__proto__', '..%2F..%2Fetc', '%00', 'a%20b', `${'x'.repeat(90)}`])(
    'is not found under the name %s',
    async (id) => {
      const { status } = await ask('GET', `/admin/customers/${id}`);
      expect([400, 404]).toContain(status);
    },
  );
});

test('a route is made, followed by calls, and refused when nobody serves its targets', async () => {
  const targets = [{ model: 'openai/gpt-5-mini' }];
  expect((await ask('POST', '/admin/routes', { id: 'smart', targets })).status).toBe(201);
  const body = { model: 'smart', messages: [{ role: 'user', content: 'x' }] };
  const call = { endpoint: '/v1/chat/completions', body };
  await until('calls are taken', async () => (await sluice.post('/v1/jobs', call)).status === 202);
  const unserved = await ask('PATCH', '/admin/routes/smart', { targets: [{ model: 'nobody/serves-this' }] });
  expect(unserved).toMatchObject({ status: 400, json: { code: 'document_invalid' } });
  expect((await ask('DELETE', '/admin/routes/smart')).status).toBe(204);
  await until('the name is unknown', async () => (await sluice.post('/v1/jobs', call)).status === 404);
});

describe('versions', () => {
  test('a change that expects another version is refused with 412 and changes nothing', async () => {
    const made = await ask('POST', '/admin/customers', { id: 'versioned', weight: 2 });
    expect(made.etag).toBe(`"${made.json.version}"`);
    const changed = await ask(
      'PATCH',
      '/admin/customers/versioned',
      { weight: 3 },
      { 'if-match': made.etag! },
    );
    expect(changed.status).toBe(200);
    for (const [method, body] of [
      ['PATCH', { weight: 9 }],
      ['PUT', { weight: 9 }],
      ['DELETE', undefined],
    ] as const) {
      const late = await ask(method, '/admin/customers/versioned', body, { 'if-match': made.etag! });
      expect(late).toMatchObject({ status: 412, json: { code: 'precondition_failed' } });
    }
    expect((await ask('GET', '/admin/customers/versioned')).json.settings).toMatchObject({ weight: 3 });
  });

  test('of changes that expect the same version one is made', async () => {
    const { etag } = await ask('POST', '/admin/customers', { id: 'raced' });
    const weights = [2, 3, 4, 5, 6];
    const all = await Promise.all(
      weights.map((weight) => ask('PATCH', '/admin/customers/raced', { weight }, { 'if-match': etag! })),
    );
    expect(all.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(all.filter(({ status }) => status === 412)).toHaveLength(4);
  });

  test('what must be new is not laid over what is there, and what must exist is not made', async () => {
    expect((await ask('POST', '/admin/customers', { id: 'acme' })).json).toMatchObject({
      code: 'object_exists',
    });
    const absent = await ask('PUT', '/admin/customers/acme', {}, { 'if-none-match': '*' });
    expect(absent.status).toBe(412);
    expect((await ask('PUT', '/admin/customers/nobody', {}, { 'if-match': '*' })).status).toBe(412);
    expect((await ask('PUT', '/admin/customers/nobody', {}, { 'if-match': 'x' })).status).toBe(400);
  });
});

describe('the audit', () => {
  test('names who changed what, with what it was and became, and no secret', async () => {
    const key = { provider: 'openai', id: 'audited', api_key: 'sk-of-the-audited-one' };
    await ask('POST', '/admin/credentials', key, { 'x-sluice-operator': 'alice' });
    await ask('PATCH', '/admin/customers/acme', { weight: 5 });
    await ask('DELETE', '/admin/credentials/openai/audited');
    const { json } = await ask('GET', '/admin/audit?limit=3');
    expect(json.data).toMatchObject([
      { who: 'admin', action: 'remove', subject: 'credentials/openai/audited' },
      { who: 'admin', action: 'create', subject: 'customers/acme', after: { weight: 5 } },
      { who: 'admin: alice', action: 'create', subject: 'credentials/openai/audited', before: null },
    ]);
    expect(JSON.stringify(json)).not.toContain('sk-of-the');
    const older = await ask('GET', `/admin/audit?limit=1&before=${json.last_id}`);
    expect(older.json.data![0]!.id).not.toBe(json.last_id);
    await ask('DELETE', '/admin/customers/acme');
  });

  test('an operator who gives no plain name is refused', async () => {
    const { status } = await ask('POST', '/admin/customers', { id: 'x' }, { 'x-sluice-operator': 'a b' });
    expect(status).toBe(400);
  });
});

test('nothing that is asked for without an object of settings is taken', async () => {
  for (const body of ['', '[]', '1', '"x"', '{"a":', '{"__proto__":{"weight":2}}']) {
    const { status } = await ask('PUT', '/admin/customers/acme', body);
    expect({ body, status }).toEqual({ body, status: 400 });
  }
  expect((await ask('GET', '/admin/customers/acme')).json.source).toBe('file');
});
