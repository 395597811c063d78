import { afterEach, expect, test } from 'vitest';
import { systemClock } from '#shared/kernel/clock.ts';
import { seededRandom } from '#shared/kernel/random.ts';
import { ChaosProxy } from '../harness/chaos-proxy.ts';
import { FaultSystem, type IngressProcess, post, submitAll } from '../harness/fault-system.ts';
import { chat } from '../harness/sluice.ts';

let system: FaultSystem | undefined;
let proxies: ChaosProxy[] = [];
afterEach(async () => {
  await system?.stop();
  await Promise.all(proxies.map((proxy) => proxy.stop()));
  proxies = [];
});

const deferred = 450;
const awaited = 50;
const perArray = 25;
/** Pieces of replies from one loss to the next, on average; an ingress reads many replies at once, so its pieces are few. */
const piecesBetweenLosses = { ingress: 20, worker: 40 };
const clientPauseMs = 100;
const answer = { delayMs: 30, outputTokens: 2 };

/** Submits until every entry was answered 202, as a careful client does: with one Idempotency-Key an entry. */
async function submitStubbornly(ingress: IngressProcess, first: number): Promise<string[]> {
  const ids = new Map<string, string>();
  const keyOf = (index: number) => `deferred ${first + index}`;
  while (ids.size < perArray) {
    const open = Array.from({ length: perArray }, (_each, index) => keyOf(index)).filter(
      (key) => !ids.has(key),
    );
    const entries = open.map((key) => ({
      endpoint: '/v1/chat/completions',
      body: chat(key, answer),
      idempotency_key: key,
    }));
    const results = await submitAll(ingress, entries);
    for (const [index, { status, job }] of results.entries())
      if (status === 202) ids.set(open[index]!, job!.id);
    await systemClock.sleep(clientPauseMs);
  }
  return [...ids.values()];
}

/** Calls until it is answered; how often it was told 503 before. */
async function callStubbornly(ingress: IngressProcess, index: number): Promise<string> {
  for (;;) {
    const response = await post(ingress, '/v1/chat/completions', chat(`awaited ${index}`, answer), {
      'idempotency-key': `awaited ${index}`,
    });
    await response.arrayBuffer();
    if (response.status === 200) return response.headers.get('x-sluice-job-id')!;
    expect(response.status).toBe(503);
    await systemClock.sleep(clientPauseMs);
  }
}

test.each([101])(
  'replies of Redis lost after execution (seed %i): every job is accepted once, called once and settled once',
  async (seed) => {
    system = await FaultSystem.start({ workers: { lock_ms: 5_000, stalled_check_ms: 500 } });
    const faults = system;
    proxies = await Promise.all(
      [seed, seed + 1].map((each) => ChaosProxy.start(faults.redis.port, seededRandom(each))),
    );
    const [ingress] = await Promise.all([faults.ingress(proxies[0]!.url), faults.worker(proxies[1]!.url)]);
    proxies[0]!.loseReplies(piecesBetweenLosses.ingress);
    proxies[1]!.loseReplies(piecesBetweenLosses.worker);
    const arrays = Array.from({ length: deferred / perArray }, (_each, index) =>
      submitStubbornly(ingress, index * perArray),
    );
    const calls = Array.from({ length: awaited }, (_each, index) => callStubbornly(ingress, index));
    const jobs = (await Promise.all([...arrays, ...calls])).flat();
    const ended = await faults.ended(jobs);
    console.log(
      `seed ${seed}: replies lost: ingress ${proxies[0]!.lost}, worker ${proxies[1]!.lost}; calls ${faults.arrivals.total}`,
    );

    expect(ended).toEqual({ succeeded: deferred + awaited });
    expect(new Set(jobs).size).toBe(deferred + awaited);
    expect(await faults.jobIds()).toHaveLength(deferred + awaited);
    expect(faults.arrivals.total).toBe(deferred + awaited);
    const rows = await faults.ledger();
    expect(rows.map(({ kind }) => kind)).toEqual(Array(deferred + awaited).fill('settled'));
    expect(new Set(rows.map(({ job }) => job))).toEqual(new Set(jobs));
    expect(rows.reduce((sum, { outputTokens }) => sum + outputTokens, 0)).toBe(faults.arrivals.outputTokens);
    expect(await faults.depth()).toBe(0);
    for (const proxy of proxies) expect(proxy.lost).toBeGreaterThan(0);
  },
);
