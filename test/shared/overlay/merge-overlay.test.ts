import { expect, test } from 'vitest';
import { type Settings, settingsSchema } from '#config/schema.ts';
import { OverlayMerger } from '#shared/overlay/merge-overlay.ts';
import type { OverlayDocument, OverlayKind } from '#shared/overlay/overlay-document.ts';
import { createSecretBox } from '#shared/secrets/secret-box.ts';
import { testConfiguration, testSettings } from '../../harness/test-settings.ts';

const base = testSettings('http://127.0.0.1:1', {
  customers: { acme: { weight: 2, max_queue_depth: 7, teams: { red: {} } } },
});
const secrets = createSecretBox(['0123456789abcdef0123456789abcdef']);
const hash = 'ab'.repeat(32);
const doc = (kind: OverlayKind, id: string, document: Record<string, unknown>): OverlayDocument => ({
  kind,
  id,
  version: 1,
  document,
});
const merge = (...documents: OverlayDocument[]) => new OverlayMerger(secrets).merge(base, documents);
const refused = (...documents: OverlayDocument[]) => merge(...documents).refused.map(({ reason }) => reason);

test('settings that were read once are valid and come to the same when they are read again', () => {
  const parsed = settingsSchema.parse(testConfiguration('http://127.0.0.1:1'));
  expect(settingsSchema.parse(parsed)).toEqual(parsed);
});

test('nothing is changed by no document', () => {
  expect(merge().settings).toEqual(base);
});

test('fields of a document replace those of the file, and others stay', () => {
  const { settings } = merge(
    doc('customers', 'acme', { weight: 9 }),
    doc('pools', 'openai/chat', { concurrency: 3 }),
    doc('providers', 'anthropic', { base_url: 'http://127.0.0.1:1/other' }),
    doc('credentials', 'openai/main', { weight: 4 }),
    doc('virtual-keys', 'acme/test', { name: 'ci' }),
  );
  expect(settings.customers.acme).toEqual({
    ...base.customers.acme,
    weight: 9,
    keys: [{ ...base.customers.acme!.keys[0], name: 'ci' }],
  });
  expect(settings.providers.openai!.pools.chat).toEqual({
    ...base.providers.openai!.pools.chat,
    concurrency: 3,
  });
  expect(settings.providers.openai!.credentials).toEqual([
    { ...base.providers.openai!.credentials[0], weight: 4 },
  ]);
  expect(settings.providers.anthropic).toEqual({
    ...base.providers.anthropic,
    base_url: 'http://127.0.0.1:1/other',
  });
  expect(settings.customers.rival).toBe(base.customers.rival);
});

test('what the file does not have is added, whatever order its documents were written in', () => {
  const { settings, refused } = merge(
    doc('virtual-keys', 'new/k1', { hash, team: 'blue' }),
    doc('pools', 'groq/llama', { models: ['llama-*'] }),
    doc('teams', 'new/blue', {}),
    doc('credentials', 'groq/a', { api_key: 'gsk' }),
    doc('customers', 'new', {}),
    doc('providers', 'groq', { dialect: 'openai', base_url: 'http://127.0.0.1:3' }),
  );
  expect(refused).toEqual([]);
  expect(settings.customers.new).toMatchObject({ weight: 1, keys: [{ id: 'k1', hash, team: 'blue' }] });
  expect(settings.providers.groq).toMatchObject({
    credentials: [{ id: 'a', api_key: 'gsk', weight: 1 }],
    pools: { llama: { models: ['llama-*'] } },
  });
});

test('another tier brings its own ceilings, and ceilings given beside it win', () => {
  const tiered = (tier: string, ceilings = {}) =>
    settingsSchema.parse({
      ...testConfiguration('http://127.0.0.1:1'),
      providers: {
        openai: {
          dialect: 'openai',
          base_url: 'http://127.0.0.1:1',
          credentials: [],
          pools: { gpt: { models: ['gpt-5-mini'], tier, ceilings } },
        },
      },
    }).providers.openai!.pools.gpt;
  const file: Settings = {
    ...base,
    providers: { openai: { ...base.providers.openai!, pools: { gpt: tiered('tier1')! } } },
  };
  const ceilings = (document: Record<string, unknown>) =>
    new OverlayMerger(secrets).merge(file, [doc('pools', 'openai/gpt', document)]).settings.providers.openai!
      .pools.gpt!.ceilings;
  expect(ceilings({ tier: 'tier3' })).toEqual(tiered('tier3')!.ceilings);
  expect(ceilings({ tier: 'tier3' })).not.toEqual(tiered('tier1')!.ceilings);
  expect(ceilings({ ceilings: { rpm: 7 } })).toEqual(tiered('tier1', { rpm: 7 })!.ceilings);
});

test('a document that is not valid is left out, named with a reason that holds none of its values, and harms nobody', () => {
  const { settings, refused } = merge(
    doc('customers', 'acme', { weight: -1 }),
    doc('customers', 'rival', { weight: 3 }),
    doc('credentials', 'openai/b', { api_key: 7, weight: 'sk-secret' }),
  );
  expect(settings).toEqual({
    ...base,
    customers: { ...base.customers, rival: { ...base.customers.rival, weight: 3 } },
  });
  expect(refused).toMatchObject([
    { kind: 'customers', id: 'acme', reason: expect.stringContaining('weight: ') },
    { kind: 'credentials', id: 'openai/b' },
  ]);
  expect(JSON.stringify(refused)).not.toContain('sk-secret');
});

test.each([
  ['a key of nobody', doc('virtual-keys', 'nobody/k', { hash }), 'there is no customer nobody'],
  ['a key of an unknown team', doc('virtual-keys', 'acme/k', { hash, team: 'x' }), 'there is no team x'],
  ['a key without a hash', doc('virtual-keys', 'acme/k', {}), 'hash: a key needs one'],
  ['a key as it is', doc('virtual-keys', 'acme/k', { key: 'sk' }), 'key: give its hash; keys are not kept'],
  ['a pool of nobody', doc('pools', 'nobody/p', { models: ['m'] }), 'there is no provider nobody'],
  ['a name that would break keys of Redis', doc('customers', 'a{b}', {}), 'its id is not a name'],
  [
    'a name of the prototype',
    doc('pools', 'openai/__proto__', { models: ['m'] }),
    'its id is not <provider>/<name>',
  ],
  [
    'a kind of a newer release',
    doc('gadgets' as OverlayKind, 'x', {}),
    'this release does not know its kind',
  ],
  [
    'a credential inside its provider',
    doc('providers', 'openai', { credentials: [] }),
    'credentials and pools are documents of their own',
  ],
  ['a setting that does not exist', doc('customers', 'acme', { wight: 2 }), 'Unrecognized key: "wight"'],
])('%s is refused', (_name, document, reason) => {
  expect(refused(document)).toEqual([reason]);
});

test('only what changed is merged anew', () => {
  const merger = new OverlayMerger(secrets);
  const acme = doc('customers', 'acme', { weight: 9 });
  const first = merger.merge(base, [acme, doc('customers', 'rival', { weight: 2 })]).settings;
  const second = merger.merge(base, [acme, doc('customers', 'rival', { weight: 3 })]).settings;
  expect(second.customers.acme).toBe(first.customers.acme);
  expect(second.customers.rival).toMatchObject({ weight: 3 });
});
