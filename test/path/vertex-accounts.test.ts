import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startSluice, type TestSluice } from '../harness/sluice.ts';
import type { SettingsOverrides } from '../harness/test-settings.ts';
import { type Captured, captureProvider } from './support.ts';

type Capture = Awaited<ReturnType<typeof captureProvider>>;

const scope = 'https://www.googleapis.com/auth/cloud-platform';
const { privateKey, publicKey } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
});
const serviceAccount = {
  type: 'service_account',
  client_email: 'sluice@acme.iam.gserviceaccount.com',
  private_key_id: 'key-1',
  private_key: privateKey,
};

let folder: string;
let vertex: Capture;
let tokens: Capture;
let sluice: TestSluice;
beforeAll(async () => {
  const answer = { candidates: [{ content: { parts: [{ text: 'hi' }] }, finishReason: 'STOP' }] };
  vertex = await captureProvider({ body: answer });
  tokens = await captureProvider({
    body: {
      access_token: 'token-of-the-endpoint',
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      token_type: 'Bearer',
      expires_in: 3_600,
    },
  });
  folder = await mkdtemp(join(tmpdir(), 'sluice-vertex-'));
  await writeFile(join(folder, 'subject'), 'a-token-of-somebody-else');
  const federated = {
    type: 'external_account',
    audience: '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x',
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    token_url: `${tokens.url}/v1/token`,
    credential_source: { file: join(folder, 'subject') },
  };
  const provider = (model: string, account: object) => ({
    dialect: 'vertex',
    project: 'acme',
    location: 'europe-west1',
    base_url: vertex.url,
    credentials: [{ id: 'main', api_key: JSON.stringify(account) }],
    pools: { all: { models: [model] } },
  });
  const providers = {
    signed: provider('gemini-signed', serviceAccount),
    federated: provider('gemini-federated', federated),
    wrong: provider('gemini-wrong', { ...serviceAccount, private_key: 'no key' }),
  };
  sluice = await startSluice({ settings: { jobs: { attempts_max: 1 }, providers } as SettingsOverrides });
});
afterAll(async () => {
  await sluice?.stop();
  await Promise.all([vertex?.stop(), tokens?.stop(), rm(folder, { recursive: true, force: true })]);
});

/** Calls a model twice; what Vertex AI saw of it. */
async function callTwice(model: string): Promise<Captured[]> {
  vertex.captured.length = 0;
  const body = { contents: [{ parts: [{ text: 'hello' }] }] };
  for (const path of [`/v1beta/models/${model}:generateContent`, '/v1/chat/completions']) {
    const asked = path.startsWith('/v1beta')
      ? body
      : { model, messages: [{ role: 'user', content: 'hello' }] };
    expect((await sluice.post(path, asked)).status).toBe(200);
  }
  return vertex.captured;
}

const decoded = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString()) as object;

test('a service account signs its own token, for calls of Google’s dialect and for translated ones', async () => {
  const [call, again] = await callTwice('gemini-signed');
  expect(call!.path).toBe(
    '/v1/projects/acme/locations/europe-west1/publishers/google/models/gemini-signed:generateContent',
  );
  expect(again!.headers.authorization).toBe(call!.headers.authorization);
  const [, header, payload, signature] = /^Bearer ([^.]+)\.([^.]+)\.([^.]+)$/.exec(
    call!.headers.authorization!,
  )!;
  expect(decoded(header!)).toMatchObject({ alg: 'RS256', kid: 'key-1' });
  expect(decoded(payload!)).toMatchObject({ iss: serviceAccount.client_email, scope });
  const signed = Buffer.from(`${header!}.${payload!}`);
  const isSigned = verify(
    'RSA-SHA256',
    signed,
    createPublicKey(publicKey),
    Buffer.from(signature!, 'base64url'),
  );
  expect(isSigned).toBe(true);
  expect(tokens.captured).toHaveLength(0);
});

test('another account asks its token endpoint once, and sends what it got', async () => {
  const calls = await callTwice('gemini-federated');
  for (const { headers } of calls) expect(headers.authorization).toBe('Bearer token-of-the-endpoint');
  expect(tokens.captured).toHaveLength(1);
  expect(tokens.captured[0]!.path).toBe('/v1/token');
  expect(new URLSearchParams(tokens.captured[0]!.body).get('subject_token')).toBe('a-token-of-somebody-else');
});

test('an account that gives no token costs no request, and its secret is in no answer', async () => {
  vertex.captured.length = 0;
  const response = await sluice.post('/v1beta/models/gemini-wrong:generateContent', {
    contents: [{ parts: [{ text: 'hello' }] }],
  });
  expect(response.status).toBe(502);
  expect(await response.text()).not.toContain('no key');
  expect(vertex.captured).toEqual([]);
});
