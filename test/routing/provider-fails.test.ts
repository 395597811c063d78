import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Arrival } from '../../loadtest/simulator/arrivals/arrival-log.ts';
import type { Fault } from '../../loadtest/simulator/faults/fault-schema.ts';
import { submit } from '../harness/fault-system.ts';
import { chat } from '../harness/sluice.ts';
import type { SettingsOverrides } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';
import { modelB, RoutedSystem } from './routed-system.ts';

/** Failures in a row after which A is left alone, and for how long. */
const failuresMax = 3;
const openMs = 500;
const openMaxMs = 1_000;
const retryAfterMs = 2_000;
const timeoutMs = 2_000;
const callsPerSecond = 50;
const ramp = { start_share: 0.1, recovery_ms: 3_000 };
/** A pacer may be this much ahead of its time (health.lua). */
const burstMs = 20;
/** So late may a busy machine be with what is due; what was forgotten would come with a lock, after 30 s. */
const promptMs = 25_000;
const waitingAtA = 60;

const kinds: [string, Fault, string][] = [
  ['answers 500', { status: 500 }, 'server'],
  ['hangs', { hang: true }, 'timeout'],
  ['half-closes', { halfClose: true }, 'broken'],
  ['answers garbage', { garbage: true }, 'invalid'],
];
const quota = 'answers 429';
const spare = { model: `second/${modelB}`, weight: 1 };

const nameOf = (kind: string) => kind.replaceAll(' ', '-');
const modelOf = (kind: string) => `model-that-${nameOf(kind)}`;
const routeOf = (kind: string) => `route-${nameOf(kind)}`;

function providerA(base_url: string, kind: string): object {
  const pool = {
    models: [modelOf(kind)],
    ceilings: { rpm: callsPerSecond * 60 },
    breaker: { failures_max: failuresMax, open_ms: openMs, open_max_ms: openMaxMs },
    ramp,
  };
  return {
    dialect: 'openai',
    base_url,
    credentials: [{ id: 'main', api_key: `sk-simulator-${nameOf(kind)}` }],
    timeouts: { headers_ms: timeoutMs, body_ms: timeoutMs },
    pools: { chat: pool },
  };
}

let system: RoutedSystem;
beforeAll(async () => {
  const all = [...kinds.map(([kind]) => kind), quota];
  const route = (kind: string) => ({
    targets: [{ model: `${nameOf(kind)}/${modelOf(kind)}`, weight: 1 }],
    fallbacks: [spare],
    retries: 0,
    ...(kind === quota ? { on: ['quota'] } : {}),
  });
  const settings = (url: string) => ({
    jobs: { attempts_max: 90 },
    providers: Object.fromEntries(all.map((kind) => [nameOf(kind), providerA(`${url}/v1`, kind)])),
    routes: Object.fromEntries(all.map((kind) => [routeOf(kind), route(kind)])),
    routing: { gauge_ms: 100 },
  });
  system = await RoutedSystem.start((url) => settings(url) as SettingsOverrides);
  system.faults.simulator.latency.replace({ firstByteMs: 5, perTokenMs: 0, jitter: 0 });
});
afterAll(() => system?.stop());

const routed = (kind: string, text: string) => system.call(routeOf(kind), text);
const misbehave = (kind: string, fault: Fault, times: number) =>
  system.faults.simulator.faults.add({ match: { model: modelOf(kind) }, times, fault });
const many = <T>(count: number, make: (index: number) => Promise<T>) =>
  Promise.all(Array.from({ length: count }, (_, index) => make(index)));

function arrivalsAt(kind: string): Arrival[] {
  const { log } = system.faults.simulator;
  const found: Arrival[] = [];
  log.visit(0, (segment, index, seq) => {
    const arrival = log.read(segment, index, seq);
    if (arrival.model === modelOf(kind)) found.push(arrival);
    return true;
  });
  return found;
}

/** The story of a job; each attempt in it is one that a provider saw, and the other way round. */
async function trueStory(id: string): Promise<string[]> {
  const { attempts } = await system.job(id);
  const sent = attempts.filter(({ credential }) => credential !== '');
  expect(system.arrivals(id).map(({ model }) => model)).toEqual(sent.map(({ model }) => model));
  return attempts.map(({ provider, result }) => `${provider} ${result}`);
}

/** Jobs that only A may run, more than it could take at once. */
function fillQueueOfA(kind: string): Promise<string[]> {
  const model = `${nameOf(kind)}/${modelOf(kind)}`;
  const bodies = Array.from({ length: waitingAtA }, (_, index) => ({ ...chat(`only A ${index}`), model }));
  return submit(system.ingress, bodies);
}

/** Beside a full queue of A, calls of its route and calls for B are answered by B. */
async function expectBAnswers(kind: string): Promise<void> {
  const [ofRoute, ofB] = await Promise.all([
    many(10, (index) => routed(kind, `beside a full queue ${index}`)),
    many(10, (index) => system.call(spare.model, `straight to B ${index}`)),
  ]);
  for (const answer of [...ofRoute, ...ofB])
    expect(answer).toMatchObject({ status: 200, provider: 'second', model: modelB });
  for (const { attempts } of ofB) expect(attempts).toBe(1);
  for (const { job } of ofRoute) expect((await trueStory(job)).at(-1)).toBe('second succeeded');
}

/** When the worker was done with a request: the provider that answers nothing hears of it late. */
const endedMs = ({ atMs, finishedMs, status }: Arrival) => (status === 0 ? atMs + timeoutMs : finishedMs!);

/** What may have arrived so long after the probe was answered, while its ramp lasts: the area under it. */
function rampedCalls(elapsedMs: number): number {
  const { start_share: start, recovery_ms: rampMs } = ramp;
  const shareMs = elapsedMs * start + ((1 - start) * elapsedMs ** 2) / (2 * rampMs);
  return ((shareMs + burstMs) / 1_000) * callsPerSecond + 1;
}

const waiting: string[] = [];

describe.concurrent('while A', () => {
  test.each(kinds)(
    '%s, B answers the calls of the route at once, and A’s queue holds up nobody',
    async (kind, fault, result) => {
      misbehave(kind, fault, 1_000);
      const first = await many(failuresMax, (index) => routed(kind, `A fails ${index}`));
      for (const answer of first) {
        expect(answer).toMatchObject({ status: 200, provider: 'second', model: modelB, attempts: 2 });
        expect(await trueStory(answer.job)).toEqual([`${nameOf(kind)} ${result}`, 'second succeeded']);
      }
      const ids = await fillQueueOfA(kind);
      waiting.push(...ids);
      await expectBAnswers(kind);
      expect((await system.faults.counts(ids)).succeeded).toBeUndefined();
    },
  );

  test(`${quota}, B answers; A is cooled for exactly as long as it asked, and then serves what waits`, async () => {
    misbehave(quota, { kind: 'quota', retryAfter: String(retryAfterMs / 1_000) }, 1);
    const first = await routed(quota, 'A refuses');
    expect(first).toMatchObject({ status: 200, provider: 'second', model: modelB, attempts: 2 });
    expect(await trueStory(first.job)).toEqual([`${nameOf(quota)} quota`, 'second succeeded']);
    const ids = await fillQueueOfA(quota);
    const answers = await many(10, (index) => routed(quota, `while A is cooled ${index}`));
    for (const { status } of answers) expect(status).toBe(200);
    expect(await system.faults.ended(ids)).toEqual({ succeeded: waitingAtA });
    const [refused, next] = arrivalsAt(quota);
    const pauseMs = next!.atMs - refused!.finishedMs!;
    expect(pauseMs).toBeGreaterThanOrEqual(retryAfterMs);
    expect(pauseMs).toBeLessThan(retryAfterMs + promptMs);
  });
});

test('when A works again, all that waited for it is served', async () => {
  system.faults.simulator.faults.clear();
  expect(await system.faults.ended(waiting)).toEqual({ succeeded: kinds.length * waitingAtA });
  for (const id of waiting) expect((await trueStory(id)).at(-1)).toContain('succeeded');
});

test.each(kinds)('A that %s was left alone, probed by one call at a time, and ramped', (kind) => {
  const arrivals = arrivalsAt(kind);
  const served = arrivals.findIndex(({ fault }) => fault === null);
  const probes = arrivals.slice(failuresMax, served + 1);
  expect(probes.length).toBeGreaterThan(0);
  let [before] = arrivals.slice(0, failuresMax).toSorted((one, other) => endedMs(other) - endedMs(one));
  for (const [index, probe] of probes.entries()) {
    const heldMs = Math.min(openMaxMs, openMs * 2 ** index);
    const pauseMs = probe.atMs - endedMs(before!);
    expect(pauseMs).toBeGreaterThanOrEqual(heldMs);
    // Only from the second on is it sure that something waited.
    if (index > 0) expect(pauseMs).toBeLessThan(heldMs + promptMs);
    before = probe;
  }
  const answeredMs = before!.finishedMs!;
  const ramped = arrivals.slice(served + 1).filter(({ atMs }) => atMs < answeredMs + ramp.recovery_ms);
  expect(ramped.length).toBeGreaterThan(0);
  for (const [index, { atMs }] of ramped.entries())
    expect(index + 1).toBeLessThanOrEqual(rampedCalls(atMs - answeredMs));
});

test('calls of a route alone find out that A works again: one of them probes it', async () => {
  const [kind, fault] = kinds[0]!;
  misbehave(kind, fault, failuresMax);
  await many(failuresMax, (index) => routed(kind, `nobody asks for A alone ${index}`));
  const seen = arrivalsAt(kind).length;
  await until(
    'A serves the route again',
    async () => (await routed(kind, 'once more')).provider === nameOf(kind),
  );
  expect(arrivalsAt(kind)[seen]!.status).toBe(200);
});

test('new calls pass over A while it is cooled, and those that wait there leave it, when their route names quota', async () => {
  misbehave(quota, { kind: 'quota', retryAfter: '60' }, 1);
  expect((await routed(quota, 'refused')).attempts).toBe(2);
  const next = await routed(quota, 'before anybody knows');
  expect(next).toMatchObject({ status: 200, provider: 'second' });
  expect([['second succeeded'], [`${nameOf(quota)} cooldown`, 'second succeeded']]).toContainEqual(
    await trueStory(next.job),
  );
  await until('B is asked first', async () => (await routed(quota, 'cooled')).attempts === 1);
});
