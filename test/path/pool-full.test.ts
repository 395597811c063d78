import { afterEach, expect, test } from 'vitest';
import type { Settings } from '#config/schema.ts';
import type { JobObject } from '#shared/jobs/job-object.ts';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { otherKey } from '../harness/test-settings.ts';
import { jobOf, submit } from './support.ts';

let sluice: TestSluice | undefined;
afterEach(async () => {
  await sluice?.stop();
  sluice = undefined;
});

/** A pool in which at most two calls wait, and nobody works. */
const start = async (on_full: 'block' | 'error' | 'drop') => {
  const pools = { chat: { depth_max: 2, on_full } };
  sluice = await startSluice({ withoutWorker: true, settings: { providers: { openai: { pools } } } });
  return sluice;
};
const post = (system: TestSluice, headers = {}) =>
  system.post('/v1/jobs', { endpoint: '/v1/chat/completions', body: chat() }, headers);

test('block: a full pool keeps callers waiting, as one without a bound does', async () => {
  const system = await start('block');
  for (let calls = 0; calls < 4; calls++) await submit(system, chat());
});

test('503 pool_full (error): a call for a full pool is refused at once, and nothing of it is kept', async () => {
  const system = await start('error');
  await submit(system, chat());
  await submit(system, chat());
  const refused = await post(system);
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
  expect(await refused.json()).toMatchObject({ code: 'pool_full' });
  const { data } = (await (await system.get('/v1/jobs')).json()) as { data: JobObject[] };
  expect(data).toHaveLength(2);
});

test('drop: a call takes the place of the oldest one of its own tenant, which ends as dropped; of others it drops none', async () => {
  const system = await start('drop');
  const oldest = await submit(system, chat());
  const other = await submit(system, chat());
  const newest = await submit(system, chat());
  const dropped = await jobOf(system, oldest);
  expect(dropped).toMatchObject({ status: 'failed', error: { code: 'dropped', status: 503 } });
  expect([(await jobOf(system, other)).status, (await jobOf(system, newest)).status]).toEqual([
    'queued',
    'queued',
  ]);
  const rival = await post(system, { authorization: `Bearer ${otherKey}` });
  expect([rival.status, await rival.json()]).toMatchObject([503, { code: 'pool_full' }]);
});

test('an Idempotency-Key that was taken already gets its job, however full or draining its pool is, and nothing is dropped for it', async () => {
  const system = await start('drop');
  const headers = { 'idempotency-key': 'again' };
  const oldest = await submit(system, chat());
  const taken = ((await (await post(system, headers)).json()) as JobObject).id;
  const repeated = await post(system, headers);
  expect([repeated.status, ((await repeated.json()) as JobObject).id]).toEqual([202, taken]);
  expect((await jobOf(system, oldest)).status).toBe('queued');
  system.live.replace(draining(system.live.current, 'openai', 'chat'));
  const whileDraining = await post(system, headers);
  expect([whileDraining.status, ((await whileDraining.json()) as JobObject).id]).toEqual([202, taken]);
  const fresh = await post(system, { 'idempotency-key': 'new' });
  expect([fresh.status, await fresh.json()]).toMatchObject([503, { code: 'pool_draining' }]);
});

function draining(settings: Settings, provider: string, pool: string): Settings {
  const changed = structuredClone(settings);
  changed.providers[provider]!.pools[pool]!.mode = 'draining';
  return changed;
}

test('a route leaves out targets whose pools are draining, and is refused when all of them are', async () => {
  const targets = [{ model: 'openai/gpt-5-mini' }, { model: 'anthropic/claude-sonnet-5' }];
  sluice = await startSluice({
    withoutWorker: true,
    settings: { routes: { either: { targets, strategy: 'ordered' } } } as object,
  });
  const { live } = sluice;
  const ask = async (model: string) => {
    const body = { ...chat(), model };
    const answer = await sluice!.post('/v1/jobs', { endpoint: '/v1/chat/completions', body });
    return { status: answer.status, ...((await answer.json()) as Partial<JobObject>) };
  };
  expect(await ask('either')).toMatchObject({ status: 'queued', provider: 'openai' });
  live.replace(draining(live.current, 'openai', 'chat'));
  expect(await ask('either')).toMatchObject({ status: 'queued', provider: 'anthropic' });
  live.replace(draining(live.current, 'anthropic', 'claude'));
  expect(await ask('either')).toMatchObject({ status: 503, code: 'pool_draining' });
});
