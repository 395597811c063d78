import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '#shared/kernel/clock.ts';
import { FaultSystem } from '../harness/fault-system.ts';
import type { StartedProcess } from '../harness/processes.ts';
import { chat } from '../harness/sluice.ts';
import { testAdminKey } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';

const followedWithinMs = 2_000;

let system: FaultSystem;
let ingresses: StartedProcess[];
let others: StartedProcess[];
let admin: StartedProcess;
beforeAll(async () => {
  system = await FaultSystem.start();
  [admin, ...ingresses] = await Promise.all([system.admin(), system.ingress(), system.ingress()]);
  others = await Promise.all([system.worker(), system.worker(), system.webhook()]);
});
afterAll(() => system.stop());

async function ask(method: string, path: string, body: unknown): Promise<{ version: number; key: string }> {
  const response = await fetch(`http://127.0.0.1:${admin.port}/admin/${path}`, {
    method,
    headers: { authorization: `Bearer ${testAdminKey}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(await response.text());
  return (await response.json()) as { version: number; key: string };
}

/** The version of the settings that a process has in force, as its operations port tells it. */
async function versionOf({ operationsPort }: StartedProcess): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${operationsPort}/metrics`)).text();
  return Number(/^sluice_overlay_version (\d+)/m.exec(metrics)?.[1] ?? -1);
}

async function everyOne<T>(what: string, processes: readonly T[], isSo: (each: T) => Promise<boolean>) {
  const changedAt = systemClock.monotonicMs();
  const tookMs = await Promise.all(
    processes.map(async (each) => {
      await until(what, () => isSo(each), followedWithinMs);
      return Math.round(systemClock.monotonicMs() - changedAt);
    }),
  );
  console.log(`${what} after ${tookMs.join(', ')} ms`);
}

const everyVersion = (version: number) =>
  everyOne(
    `version ${version}`,
    [...ingresses, ...others],
    async (each) => (await versionOf(each)) >= version,
  );

const models = ({ port }: StartedProcess, key: string) =>
  fetch(`http://127.0.0.1:${port}/v1/models`, { headers: { authorization: `Bearer ${key}` } });

test('two ingresses, two workers and the webhook process follow one admin API: a key made, its quota changed, the key revoked', async () => {
  const limits = [{ requests: 70 }];
  const made = await ask('POST', 'virtual-keys', { customer: 'acme', id: 'ci', on_revoke: 'cancel', limits });
  await everyOne('the key works', ingresses, async (each) => (await models(each, made.key)).status === 200);
  await everyVersion(made.version);

  const changed = await ask('PATCH', 'virtual-keys/acme/ci', { limits: [{ requests: 90 }] });
  await everyOne('the quota has changed', ingresses, async (each) => {
    return (await models(each, made.key)).headers.get('x-ratelimit-limit-requests') === '90';
  });
  await everyVersion(changed.version);

  const calls = ingresses.map(({ port }) =>
    fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${made.key}`, 'content-type': 'application/json' },
      body: JSON.stringify(chat('held', { hang: true })),
    }),
  );
  await until('its calls run', () => system.arrivals.inFlight === calls.length);
  const revoked = await ask('PATCH', 'virtual-keys/acme/ci', { is_active: false });
  await everyOne(
    'the key is refused',
    ingresses,
    async (each) => (await models(each, made.key)).status === 401,
  );
  await everyVersion(revoked.version);
  expect((await Promise.all(calls)).map(({ status }) => status)).toEqual(calls.map(() => 409));
  await until('its requests are cut off', () => system.arrivals.inFlight === 0);
});
