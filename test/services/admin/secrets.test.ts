import { Writable } from 'node:stream';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { systemClock } from '#shared/kernel/clock.ts';
import { LiveValue } from '#shared/kernel/live-value.ts';
import { systemRandom } from '#shared/kernel/random.ts';
import { createSecretBox } from '#shared/secrets/secret-box.ts';
import { createMetrics } from '#shared/telemetry/metrics.ts';
import { KeyHasher } from '#shared/tenants/key-hash.ts';
import { RedisProcess } from '#test/harness/redis-process.ts';
import { testAdminKey, testSecretKey, testSettings } from '#test/harness/test-settings.ts';
import { createAdminApp } from '../../../services/admin/app.ts';

test('neither the admin key nor a key of a provider or of a caller reaches logs, metrics, errors or what Redis shows', async () => {
  const redis = await RedisProcess.start();
  let lines = '';
  const memory = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines += chunk.toString();
      done();
    },
  });
  const base = new LiveValue(testSettings('http://127.0.0.1:1'));
  const metrics = createMetrics({ processMetrics: false });
  const admin = createAdminApp({
    base,
    live: base,
    redisUrl: redis.url,
    secrets: createSecretBox([testSecretKey]),
    keyHasher: new KeyHasher([testSecretKey]),
    log: pino({ level: 'trace' }, memory),
    metrics,
    clock: systemClock,
    random: systemRandom,
    adminKey: testAdminKey,
  });
  await admin.start();
  const canary = 'sk-canary-of-the-provider';
  const ask = (method: string, path: string, body: object, key = testAdminKey) =>
    fetch(`http://127.0.0.1:${admin.port}${path}`, {
      method,
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  const credential = { provider: 'openai', id: 'c', api_key: canary };
  const answers = [
    await ask('POST', '/admin/credentials', credential),
    await ask('POST', '/admin/credentials', { ...credential, id: 'a b' }),
    await ask('PATCH', '/admin/credentials/openai/c', { api_key: [canary] }),
    await ask('POST', '/admin/virtual-keys', { customer: 'acme', key: `${canary} with spaces` }),
    await ask('POST', '/admin/credentials', credential, `${testAdminKey}x`),
  ];
  expect(answers.map(({ status }) => status)).toEqual([201, 400, 400, 400, 401]);
  const texts = await Promise.all(answers.map((answer) => answer.text()));
  const store = redis.connect();
  const audit = await store.xrange('sl:{overlay}:audit', '-', '+');
  const documents = await store.hgetall('sl:{overlay}:documents');
  store.disconnect();
  await admin.stop();
  await redis.stop();
  const all = [lines, await metrics.registry.metrics(), ...texts, JSON.stringify([audit, documents])].join(
    '\n',
  );
  expect(all).not.toContain(canary);
  expect(all).not.toContain(testAdminKey);
});
