import { afterEach, describe, expect, test } from 'vitest';
import type { Arrival } from '../../loadtest/simulator/arrivals/arrival-log.ts';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import type { SettingsOverrides } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';
import { arrivalsAt, submit, untilStatus } from '../path/support.ts';

/** A request may be on its way when the refusal comes: generous, for provider and worker share one process here. */
const onTheWayMs = 700;

let sluice: TestSluice;
afterEach(() => sluice.stop());

type Pool = NonNullable<NonNullable<SettingsOverrides['providers']>[string]>['pools'];
const keys = [
  { id: 'first', api_key: 'sk-simulator-first' },
  { id: 'second', api_key: 'sk-simulator-second' },
];

async function start(credentials: typeof keys, chatPool: object): Promise<void> {
  sluice = await startSluice({
    settings: {
      jobs: { attempts_max: 50 },
      providers: { openai: { credentials, pools: { chat: chatPool } as Pool } },
    } as SettingsOverrides,
  });
}

const misbehave = (times: number, fault: Record<string, unknown>) =>
  sluice.simulator.faults.add({ match: {}, times, fault });

const arrivals = (): Arrival[] => arrivalsAt(sluice.simulator);

async function breakerChanges(to: string): Promise<number> {
  const { values } = await sluice.metrics.breakerChanges.get();
  return values.filter(({ labels }) => labels.state === to).reduce((sum, { value }) => sum + value, 0);
}

async function submitMany(count: number): Promise<string[]> {
  return Promise.all(Array.from({ length: count }, (_, index) => submit(sluice, chat(`call ${index}.`))));
}

async function allSucceed(ids: readonly string[]): Promise<void> {
  for (const id of ids) await untilStatus(sluice, id, 'succeeded');
}

describe('a provider that is down', () => {
  test('is left alone after a few failures, probed by one call at a time, and gets no job lost', async () => {
    const openMs = 300;
    await start([keys[0]!], {
      concurrency: 4,
      breaker: { failures_max: 4, open_ms: openMs, open_max_ms: openMs },
      ramp: { recovery_ms: 0 },
    });
    misbehave(12, { status: 500 });
    await allSucceed(await submitMany(10));
    const failed = arrivals().filter(({ status }) => status === 500);
    expect(failed).toHaveLength(12);
    // Four in a row opened it, while three more were on their way at most; each one after those was a probe of its own.
    const probes = failed.slice(7);
    for (const [index, { atMs }] of probes.entries())
      if (index > 0) expect(atMs - probes[index - 1]!.atMs).toBeGreaterThanOrEqual(openMs - 1);
    expect(await breakerChanges('closed')).toBe(1);
    await until('the gauge is down', async () => {
      const { values } = await sluice.metrics.breakerOpen.get();
      return values.every(({ value }) => value === 0);
    });
  });
});

describe('a credential that money stops', () => {
  test('is parked, and its jobs are served by the other one', async () => {
    await start(keys, { concurrency: 2 });
    misbehave(1, { kind: 'billing' });
    const ids = await submitMany(12);
    await allSucceed(ids);
    const refused = arrivals().filter(({ status }) => status === 429);
    expect(refused).toHaveLength(1);
    const after = arrivals().filter(({ atMs }) => atMs > refused[0]!.atMs + 100);
    expect(new Set(after.map(({ credential }) => credential)).has(refused[0]!.credential)).toBe(false);
    expect(await breakerChanges('billing')).toBe(1);
  });

  test('without another one: the call that met it says so, those behind it wait for a probe', async () => {
    await start([keys[0]!], {
      concurrency: 1,
      breaker: { billing_probe_ms: 400 },
      ramp: { recovery_ms: 0 },
    });
    misbehave(1, { kind: 'billing' });
    const [first, ...rest] = await submitMany(5);
    const all = [first!, ...rest];
    await until(
      'one failed',
      async () => (await states(all)).filter((state) => state === 'failed').length === 1,
    );
    await until(
      'the others done',
      async () => (await states(all)).filter((state) => state === 'succeeded').length === 4,
    );
    const [refused, probe] = arrivals();
    expect(refused!.status).toBe(429);
    expect(probe!.atMs - refused!.atMs).toBeGreaterThanOrEqual(400);
  });
});

async function states(ids: readonly string[]): Promise<string[]> {
  return Promise.all(
    ids.map(async (id) => ((await (await sluice.get(`/v1/jobs/${id}`)).json()) as { status: string }).status),
  );
}

describe('a credential that is told to wait', () => {
  test('is sent nothing before that time, though many calls were granted, and none is lost', async () => {
    await start([keys[0]!], { concurrency: 32 });
    for (const index of [5, 15, 25]) {
      const match = { promptContains: `call ${index}.` };
      sluice.simulator.faults.add({ match, times: 1, fault: { kind: 'quota', retryAfter: '2' } });
    }
    await allSucceed(await submitMany(60));
    const refusals = arrivals().filter(({ status }) => status === 429);
    expect(refusals).toHaveLength(3);
    for (const { finishedMs } of refusals) {
      const early = arrivals().filter(
        ({ atMs }) => atMs > finishedMs! + onTheWayMs && atMs < finishedMs! + 2_000,
      );
      expect(early).toEqual([]);
    }
    const { values } = await sluice.metrics.credentialCooldowns.get();
    expect(values[0]?.value).toBeGreaterThanOrEqual(1);
  });
});
