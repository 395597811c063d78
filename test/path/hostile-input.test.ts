import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { errorCatalog } from '#shared/kernel/error-catalog.ts';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { testKey } from '../harness/test-settings.ts';
import { sendRaw, takenIn } from './support.ts';

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice();
});
afterAll(() => sluice.stop());
afterEach(async () => {
  expect(await takenIn(sluice)).toBe(0);
  expect(sluice.simulator.log.nextSeq).toBe(0);
  expect((await sluice.get('/healthz')).status).toBe(200);
});

const megabyte = 1_048_576;
const routes = [
  { path: '/v1/chat/completions', shape: 'openai', good: chat() },
  { path: '/v1/embeddings', shape: 'openai', good: { model: 'text-embedding-3-small', input: 'x' } },
  {
    path: '/v1/messages',
    shape: 'anthropic',
    good: { model: 'claude-sonnet-5', max_tokens: 5, messages: [{ role: 'user', content: 'x' }] },
  },
  { path: '/v1/jobs', shape: 'problem', good: { endpoint: '/v1/chat/completions', body: chat() } },
] as const;
type Route = (typeof routes)[number];

/** The code of a refusal; throws unless status, shape and catalogue agree. */
async function codeOf(response: Response, { shape }: Pick<Route, 'shape'>): Promise<string> {
  const problem = shape === 'problem';
  expect(response.headers.get('content-type')).toContain(
    problem ? 'application/problem+json' : 'application/json',
  );
  const body = (await response.json()) as Record<string, unknown>;
  const inner = (problem ? body : body.error) as {
    code: keyof typeof errorCatalog;
    type: string;
    message?: string;
    title?: string;
  };
  const entry = errorCatalog[inner.code];
  expect(entry, `${inner.code} is in the catalogue`).toBeDefined();
  expect(response.status).toBe(entry.status);
  if (shape === 'anthropic')
    expect(body).toMatchObject({ type: 'error', error: { type: entry.anthropicType } });
  else expect(inner.type).toBe(problem ? `urn:sluice:error:${inner.code}` : entry.type);
  const sentence = inner.message ?? inner.title;
  expect(sentence).toMatch(/\w/);
  expect(sentence).not.toMatch(/\{(?!model\})\w+\}|FST_|node_modules/);
  return inner.code;
}

/** JSON text of a good body with more members, written by hand because no object can hold them. */
const withMember = (route: Route, member: string) => `${JSON.stringify(route.good).slice(0, -1)},${member}}`;
/** The good body with a member that makes it `depth` levels deep. */
const nested = (route: Route, depth: number) =>
  withMember(route, `"metadata":${'['.repeat(depth - 1)}${']'.repeat(depth - 1)}`);

describe.each(routes)('$path refuses', (route) => {
  const bodies: [what: string, body: string | Uint8Array<ArrayBuffer>, code: string][] = [
    ['malformed JSON', '{"model": "gpt-5-mini", ', 'invalid_json'],
    ['text behind the JSON', `${JSON.stringify(route.good)}x`, 'invalid_json'],
    ['an empty body', '', 'invalid_json'],
    ['65 levels of nesting', nested(route, 65), 'body_too_deep'],
    ['half a megabyte of brackets', '['.repeat(500_000), 'body_too_deep'],
    ['half a megabyte of braces', '{"a":'.repeat(100_000), 'body_too_deep'],
    ['__proto__', withMember(route, '"__proto__":{"admin":true}'), 'forbidden_property'],
    [
      '__proto__ in escapes',
      withMember(route, '"\\u005f\\u005fproto__":{"admin":true}'),
      'forbidden_property',
    ],
    ['__proto__ deep inside', withMember(route, '"user":[{"x":{"__proto__":null}}]'), 'forbidden_property'],
    [
      'constructor.prototype',
      withMember(route, '"constructor":{"prototype":{"admin":true}}'),
      'forbidden_property',
    ],
    ['a body of 20 MB', `{"pad":"${'x'.repeat(20 * megabyte)}"}`, 'body_too_large'],
    ['invalid UTF-8', Buffer.from([0x7b, 0x22, 0xc3, 0x28, 0x22, 0x3a, 0x31, 0x7d]), 'invalid_encoding'],
    ['UTF-16', Buffer.from(`\ufeff${JSON.stringify(route.good)}`, 'utf16le'), 'invalid_encoding'],
    ['null', 'null', 'invalid_request'],
    ['a number', '42', 'invalid_request'],
    ['a string', '"model"', 'invalid_request'],
    ['an empty array', '[]', 'invalid_request'],
    ['an empty object', '{}', 'invalid_request'],
  ];
  test.each(bodies)('%s', async (_what, body, code) => {
    expect(await codeOf(await sluice.post(route.path, body), route)).toBe(code);
    expect(({} as { admin?: boolean }).admin).toBeUndefined();
  });

  test('a compressed body, another content type, and none', async () => {
    const zipped = await sluice.post(route.path, new Uint8Array(gzipSync(JSON.stringify(route.good))), {
      'content-encoding': 'gzip',
    });
    expect(await codeOf(zipped, route)).toBe('unsupported_media_type');
    for (const type of [
      'text/plain',
      'multipart/form-data; boundary=x',
      'application/x-www-form-urlencoded',
      'nonsense',
      '',
    ]) {
      expect(
        await codeOf(
          await sluice.post(route.path, JSON.stringify(route.good), { 'content-type': type }),
          route,
        ),
      ).toBe('unsupported_media_type');
    }
  });

  test('a key that is not known before it reads the body', async () => {
    const response = await sluice.post(route.path, '{', { authorization: 'Bearer nobody' });
    expect(await codeOf(response, route)).toBe('invalid_key');
  });

  test('an Idempotency-Key of 300 characters, and an empty one', async () => {
    for (const key of ['k'.repeat(300), '']) {
      expect(await codeOf(await sluice.post(route.path, route.good, { 'idempotency-key': key }), route)).toBe(
        'invalid_header',
      );
    }
  });
});

test('64 levels of nesting pass the guard: what refuses them is the shape of the job', async () => {
  const jobs = routes[3];
  expect(await codeOf(await sluice.post('/v1/jobs', nested(jobs, 64)), jobs)).toBe('invalid_request');
});

const wrongFields: [route: Route, change: Record<string, unknown>, code: string, param: string][] = [
  [routes[0], { model: 'gpt-none' }, 'model_not_found', 'model'],
  [routes[0], { model: 'claude-sonnet-5', n: 2 }, 'not_translatable', 'n'],
  [routes[0], { model: 'anthropic/claude-sonnet-5', logprobs: true }, 'not_translatable', 'logprobs'],
  [routes[1], { model: 'claude-sonnet-5' }, 'endpoint_not_served', 'model'],
  [routes[0], { model: '__proto__' }, 'model_not_found', 'model'],
  [routes[0], { model: `no-${'x'.repeat(300)}` }, 'invalid_request', 'model'],
  [routes[0], { model: 7 }, 'invalid_request', 'model'],
  [routes[0], { messages: 'hello' }, 'invalid_request', 'messages'],
  [routes[0], { messages: [] }, 'invalid_request', 'messages'],
  [routes[0], { messages: [{ content: 'x' }] }, 'invalid_request', 'messages.0.role'],
  [routes[0], { max_tokens: 'x' }, 'invalid_request', 'max_tokens'],
  [routes[0], { max_tokens: -1 }, 'invalid_request', 'max_tokens'],
  [routes[0], { max_tokens: 2 ** 60 }, 'invalid_request', 'max_tokens'],
  [routes[0], { temperature: {} }, 'invalid_request', 'temperature'],
  [routes[0], { stream: 'yes' }, 'invalid_request', 'stream'],
  [routes[1], { input: 7 }, 'invalid_request', 'input'],
  [routes[1], { stream: true }, 'streaming_not_supported', 'stream'],
  [routes[1], { input: [] }, 'invalid_request', 'input'],
  [routes[2], { max_tokens: null }, 'invalid_request', 'max_tokens'],
  [routes[2], { model: 'gpt-5-mini', container: 'x' }, 'not_translatable', 'container'],
  [routes[3], { endpoint: '/v1/nothing' }, 'invalid_request', 'endpoint'],
  [routes[3], { body: 'x' }, 'invalid_request', 'body'],
  [routes[3], { body: { ...chat(), messages: 1 } }, 'invalid_request', 'messages'],
  [routes[3], { body: { ...chat(), stream: 1 } }, 'invalid_request', 'stream'],
  [routes[3], { metadata: { a: 1 } }, 'invalid_request', 'metadata.a'],
  [
    routes[3],
    { metadata: Object.fromEntries(Array.from({ length: 17 }, (_, at) => [`k${at}`, 'v'])) },
    'invalid_request',
    'metadata',
  ],
  [routes[3], { priority: 12 }, 'invalid_request', 'priority'],
  [routes[3], { deadline_seconds: 0 }, 'invalid_request', 'deadline_seconds'],
  [routes[3], { deadline_seconds: 90_000_000 }, 'invalid_request', 'deadline_seconds'],
  [routes[3], { run_at: 'tomorrow' }, 'invalid_request', 'run_at'],
  [routes[3], { run_at: '7' }, 'invalid_request', 'run_at'],
  [routes[3], { run_at: '2999-01-01T00:00:00Z' }, 'invalid_request', 'run_at'],
  [routes[3], { run_at: 1e300 }, 'invalid_request', 'run_at'],
  [routes[3], { idempotency_key: 'k'.repeat(300) }, 'invalid_request', 'idempotency_key'],
  [routes[3], { webhook: 7 }, 'invalid_request', 'webhook'],
  [routes[3], { webhook: 'ftp://example.com' }, 'webhook_url_refused', 'webhook'],
  [routes[3], { webhook: 'https://127.0.0.1/' }, 'webhook_url_refused', 'webhook'],
  [routes[3], { webhook: `we_${'0'.repeat(32)}` }, 'webhook_endpoint_not_found', 'webhook'],
];
test.each(wrongFields.map(([route, ...rest]) => [route.path, ...rest, route] as const))(
  '%s refuses %j as %s of "%s"',
  async (_path, change, code, param, route) => {
    const response = await sluice.post(route.path, { ...route.good, ...change });
    const body = (await response.clone().json()) as { error?: { param?: string }; param?: string };
    expect(await codeOf(response, route)).toBe(code);
    if (route.shape !== 'anthropic') expect(body.error?.param ?? body.param ?? '').toBe(param);
  },
);

const wrongHeaders: [header: string, value: string][] = [
  ['prefer', 'wait=abc'],
  ['prefer', 'wait'],
  ['prefer', 'wait=-1'],
  ['prefer', 'wait=1.5'],
  ['x-sluice-priority', '12'],
  ['x-sluice-priority', 'high'],
  ['x-sluice-priority', '__proto__'],
  ['x-sluice-priority', 'constructor'],
  ['x-sluice-deadline', '0'],
  ['x-sluice-deadline', '-5'],
  ['x-sluice-deadline', '1e3'],
  ['x-sluice-deadline', '99999999'],
  ['x-sluice-run-at', 'soon'],
  ['x-sluice-run-at', '0'],
  ['x-sluice-run-at', '2999-01-01T00:00:00Z'],
  ['x-sluice-delivery', 'twice'],
  ['x-sluice-on-disconnect', 'maybe'],
];
describe.each(routes.slice(0, 3))('$path refuses the header', (route) => {
  test.each(wrongHeaders)('%s: %s', async (header, value) => {
    expect(await codeOf(await sluice.post(route.path, route.good, { [header]: value }), route)).toBe(
      'invalid_header',
    );
  });
});

test.each(routes.slice(0, 3))(
  '$path refuses a webhook that cannot be, before it accepts the job',
  async (route) => {
    for (const [value, code] of [
      ['http://example.com', 'webhook_url_refused'],
      ['example.com', 'webhook_url_refused'],
      ['https://[::ffff:169.254.169.254]/', 'webhook_url_refused'],
      [`we_${'0'.repeat(32)}`, 'webhook_endpoint_not_found'],
    ] as const) {
      const response = await sluice.post(route.path, route.good, { 'x-sluice-webhook': value });
      expect(await codeOf(response, route), value).toBe(code);
    }
  },
);

test('routes that do not exist are 404 whatever the method, and never an error page', async () => {
  const asked: [method: string, path: string][] = [
    ['GET', '/'],
    ['GET', '/v1/nothing'],
    ['DELETE', '/v1/chat/completions'],
    ['PUT', '/v1/jobs'],
    ['PATCH', '/v1/jobs/job_1'],
    ['PROPFIND', '/v1/jobs'],
    ['GET', '/v1/chat/completions'],
    ['OPTIONS', '/v1/messages'],
    ['GET', `/v1/${'x'.repeat(2_000)}`],
    ['GET', '//v1/jobs'],
    ['POST', '/v1/chat/completions/'],
  ];
  for (const [method, path] of asked) {
    const response = await fetch(`${sluice.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${testKey}` },
    });
    const shape = path.startsWith('/v1/messages')
      ? 'anthropic'
      : path.startsWith('/v1/jobs')
        ? 'problem'
        : 'openai';
    expect(await codeOf(response, { shape }), `${method} ${path}`).toBe('route_not_found');
  }
});

test('a path that is not valid percent-encoding is a catalogued 400', async () => {
  expect(await codeOf(await sluice.get('/v1/jobs/%E0%A4%A'), { shape: 'problem' })).toBe('invalid_request');
});

const auth = `Host: sluice\r\nAuthorization: Bearer ${testKey}\r\n`;
const rawRequests: [what: string, request: string][] = [
  ['no HTTP at all', 'hello\r\n\r\n'],
  [
    'a line break inside a header',
    `POST /v1/jobs HTTP/1.1\r\n${auth}Idempotency-Key: a\rX-Injected: 1\r\nContent-Length: 0\r\n\r\n`,
  ],
  [
    'a null byte inside a header',
    `POST /v1/jobs HTTP/1.1\r\n${auth}Idempotency-Key: a\0b\r\nContent-Length: 0\r\n\r\n`,
  ],
  ['two lengths', `POST /v1/jobs HTTP/1.1\r\n${auth}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}`],
  [
    'a length beside chunks',
    `POST /v1/jobs HTTP/1.1\r\n${auth}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ],
  ['headers of 100 kB', `GET /v1/jobs HTTP/1.1\r\n${auth}X-Pad: ${'x'.repeat(100_000)}\r\n\r\n`],
];
test.each(rawRequests)(
  '%s is refused with a catalogued 4xx and the connection closed',
  async (_what, request) => {
    const [head = '', body = ''] = (await sendRaw(sluice.url, request)).split('\r\n\r\n');
    expect(head).toMatch(/^HTTP\/1\.1 4\d\d /);
    expect(head).not.toContain('X-Injected');
    expect(JSON.parse(body)).toMatchObject({
      error: { code: 'invalid_request', type: 'invalid_request_error' },
    });
  },
);

test('what a caller sends never comes back as a header of its own', async () => {
  const response = await sluice.post('/v1/chat/completions', {
    model: 'x\r\nset-cookie: a=b',
    messages: [{ role: 'user', content: 'x' }],
  });
  expect(response.status).toBe(404);
  expect(response.headers.get('set-cookie')).toBeNull();
});
