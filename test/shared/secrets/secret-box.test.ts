import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createSecretBox, secretContext } from '#shared/secrets/secret-box.ts';
import { holds } from '../../harness/property.ts';

const [older, newer] = ['o'.repeat(32), 'n'.repeat(40)];
const context = secretContext.webhook('acme', 'we_1');

test('what is sealed opens as it was, and shows nothing of itself', async () => {
  const box = createSecretBox([newer]);
  await holds(
    200,
    fc.property(fc.string({ unit: 'binary', minLength: 4 }), (secret) => {
      const sealed = box.seal(secret, context);
      expect(box.open(sealed, context)).toBe(secret);
      expect(sealed).not.toContain(secret);
      expect(sealed).toMatch(/^sealed1\.[0-9a-f]{8}\.[\w-]+$/);
      expect(box.seal(secret, context), 'the same secret never looks the same').not.toBe(sealed);
    }),
  );
});

test('after a rotation the newest key seals, and older ones still open', () => {
  const sealed = createSecretBox([older]).seal('secret', context);
  const rotated = createSecretBox([newer, older]);
  expect(rotated.open(sealed, context)).toBe('secret');
  expect(rotated.isCurrent(sealed)).toBe(false);
  const again = rotated.seal('secret', context);
  expect(rotated.isCurrent(again)).toBe(true);
  expect(createSecretBox([newer]).open(again, context)).toBe('secret');
  expect(() => createSecretBox([newer]).open(sealed, context)).toThrow(
    /key that sealed it .* not configured/,
  );
});

test('a provider key does not open for another host, and a webhook secret not for another tenant or endpoint', () => {
  const box = createSecretBox([newer]);
  const key = box.seal('sk-provider', secretContext.providerKey('https://api.openai.com/v1'));
  expect(box.open(key, secretContext.providerKey('https://api.openai.com/v2/'))).toBe('sk-provider');
  for (const url of ['https://evil.example/v1', 'http://api.openai.com/v1', 'https://api.openai.com:8443/v1'])
    expect(() => box.open(key, secretContext.providerKey(url)), url).toThrow(
      /cannot be opened: it was sealed for something else than the provider key of http/,
    );
  const secret = box.seal('whsec', context);
  for (const [tenant, id] of [
    ['rival', 'we_1'],
    ['acme', 'we_2'],
  ] as const)
    expect(() => box.open(secret, secretContext.webhook(tenant, id))).toThrow(/cannot be opened/);
});

test('any change of what is stored is noticed', async () => {
  const box = createSecretBox([newer]);
  const sealed = box.seal('secret', context);
  const [head, id, body = ''] = sealed.split('.');
  await holds(
    100,
    fc.property(
      fc.nat({ max: Buffer.from(body, 'base64url').length - 1 }),
      fc.integer({ min: 1, max: 255 }),
      (at, flip) => {
        const bytes = Buffer.from(body, 'base64url');
        bytes[at]! ^= flip;
        expect(() => box.open(`${head}.${id}.${bytes.toString('base64url')}`, context)).toThrow(
          /cannot be opened/,
        );
      },
    ),
  );
  for (const cut of [`${head}.${id}.`, `${head}.${id}`, sealed.slice(0, -4), `${head}.`])
    expect(() => box.open(cut, context), cut).toThrow(/cannot be opened/);
});

test('without a key nothing is stored in plain, and what stood there from before opens', () => {
  const box = createSecretBox([]);
  expect(() => box.seal('secret', context)).toThrow(/SLUICE_SECRET_KEY/);
  expect(box.open('[{"secret":"x"}]', context)).toBe('[{"secret":"x"}]');
  expect(box.canSeal).toBe(false);
});
