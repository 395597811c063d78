import { afterAll, beforeAll, expect, test } from 'vitest';
import { keys } from '#shared/redis/keys.ts';
import { FaultSystem, type IngressProcess, post, submit, tenant } from '../harness/fault-system.ts';
import { chat } from '../harness/sluice.ts';
import { otherKey, testAdminKey } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';

let system: FaultSystem;
let ingress: IngressProcess;
let admin: IngressProcess;
beforeAll(async () => {
  system = await FaultSystem.start();
  [ingress, admin] = await Promise.all([system.ingress(), system.admin(), system.worker(), system.worker()]);
});
afterAll(() => system.stop());

async function control(path: string): Promise<void> {
  const url = `http://127.0.0.1:${admin.port}/admin/${path}`;
  const response = await fetch(url, { method: 'POST', headers: { authorization: `Bearer ${testAdminKey}` } });
  expect(response.status).toBe(200);
}

const fair = (pool: string, part: string) => `${keys.queuePrefix('openai')}:${pool}:fair:${part}`;
const isPausedTenant = async () => (await system.store.hget(fair('chat', 'tenants'), tenant))?.endsWith(' 1');
/** What the admin port tells of the pool, which is what its dispatches go by. */
async function isPausedPool(): Promise<boolean> {
  const { pools } = (await (await fetch(`http://127.0.0.1:${admin.port}/pools`)).json()) as {
    pools: { pool: string; paused: boolean }[];
  };
  return pools.find(({ pool }) => pool === 'chat')!.paused;
}

const bodies = (count: number) => Array.from({ length: count }, (_, index) => chat(`call ${index}`));
const statesOf = async (ids: readonly string[]) => [...new Set(await system.states(ids))];
const answered = async (key: string, body: unknown, path = '/v1/chat/completions') =>
  (await post(ingress, path, body, { authorization: `Bearer ${key}` })).status;

test('calls of a paused tenant wait on all workers while others run, and none is lost when it is resumed', async () => {
  await control(`tenants/${tenant}/pause`);
  await until('every worker holds to it', isPausedTenant);
  const waiting = await submit(ingress, bodies(20));
  // Whatever may be handed out is handed out before the calls of the other tenant, which came later.
  for (let call = 0; call < 10; call++) expect(await answered(otherKey, chat())).toBe(200);
  expect(await statesOf(waiting)).toEqual(['queued']);
  await control(`tenants/${tenant}/resume`);
  expect(await system.ended(waiting)).toEqual({ succeeded: 20 });
});

test('a paused pool takes calls and sends none, while other pools run; resumed it runs them all', async () => {
  await control('pools/openai/chat/pause');
  await until('every worker holds to it', () => isPausedPool());
  const waiting = await submit(ingress, bodies(10));
  const before = system.arrivals.total;
  const claude = { model: 'claude-sonnet-5', max_tokens: 5, messages: [{ role: 'user', content: 'x' }] };
  for (let call = 0; call < 5; call++) expect(await answered(otherKey, claude, '/v1/messages')).toBe(200);
  expect(system.arrivals.total).toBe(before + 5);
  expect(await statesOf(waiting)).toEqual(['queued']);
  await control('pools/openai/chat/resume');
  expect(await system.ended(waiting)).toEqual({ succeeded: 10 });
});

test('a draining pool refuses new calls and runs those it has', async () => {
  await control('pools/openai/chat/pause');
  await until('every worker holds to it', () => isPausedPool());
  const waiting = await submit(ingress, bodies(3));
  await control('pools/openai/chat/drain');
  expect(await system.ended(waiting)).toEqual({ succeeded: 3 });
  const refused = await until('the ingress knows of it', async () => {
    const response = await post(ingress, '/v1/chat/completions', chat());
    return response.status === 503 ? response : undefined;
  });
  expect(refused.headers.get('retry-after')).toBe('10');
  expect(await refused.json()).toMatchObject({ error: { code: 'pool_draining' } });
  await control('pools/openai/chat/resume');
  await until('calls are taken again', async () => (await answered(otherKey, chat())) === 200);
});
