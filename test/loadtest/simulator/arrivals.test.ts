import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { type Arrival, ArrivalLog } from '../../../loadtest/simulator/arrivals/arrival-log.ts';
import type { ArrivalSummary } from '../../../loadtest/simulator/arrivals/summary.ts';
import {
  fullestRolling,
  fullestSlice,
  type WindowReport,
} from '../../../loadtest/simulator/arrivals/windows.ts';
import type { Simulator } from '../../../loadtest/simulator/start-simulator.ts';
import { ManualClock } from '../../harness/manual-clock.ts';
import { chat, chatBody, control, eventually, post, start, stopSimulators } from './support.ts';

afterEach(stopSimulators);

interface Page {
  arrivals: Arrival[];
  nextSeq: number;
  dropped: number;
}

const arrivals = async (simulator: Simulator, query = '') =>
  (await control<Page>(simulator, 'GET', `arrivals${query}`)).body;
const asJob = (id: string) => ({ 'x-client-request-id': id });

describe('the log', () => {
  test('an arrival holds what was asked and what became of it, but never a whole key', async () => {
    const clock = new ManualClock();
    const simulator = await start({ clock });
    await chat(simulator, chatBody('Hello there', { max_tokens: 5 }), asJob('job_a/1'));
    const { arrivals: list, nextSeq } = await arrivals(simulator);
    expect(nextSeq).toBe(1);
    expect(list).toEqual([
      {
        seq: 0,
        atMs: clock.nowMs(),
        monoMs: 0,
        path: '/v1/chat/completions',
        dialect: 'openai',
        credential: '000001',
        model: 'gpt-4o',
        clientRequestId: 'job_a/1',
        bodyHash: expect.stringMatching(/^[0-9a-f]{8}-\d+$/),
        inputTokens: 6,
        maxTokens: 5,
        outputTokens: 5,
        status: 200,
        refusedBy: null,
        fault: null,
        finishedMs: clock.nowMs(),
        aborted: false,
      },
    ]);
    expect(JSON.stringify(list)).not.toContain('sk-test');
  });

  test('equal bodies have equal hashes, others have not', async () => {
    const simulator = await start();
    for (const text of ['a', 'a', 'b']) await chat(simulator, chatBody(text));
    const [one, two, three] = (await arrivals(simulator)).arrivals.map(({ bodyHash }) => bodyHash);
    expect(one).toBe(two);
    expect(one).not.toBe(three);
  });

  test('it can be filtered and read page by page', async () => {
    const simulator = await start();
    for (const id of ['job_a/1', 'job_b/1', 'job_a/2']) await chat(simulator, chatBody(), asJob(id));
    await chat(simulator, chatBody(), { authorization: 'Bearer sk-invalid' });
    await post(simulator, '/v1/messages', {}, { 'x-api-key': 'sk-other-key' });
    const ids = async (query: string) => (await arrivals(simulator, query)).arrivals.map(({ seq }) => seq);
    expect(await ids('?clientRequestIdPrefix=job_a/')).toEqual([0, 2]);
    expect(await ids('?status=401')).toEqual([3]);
    expect(await ids('?credential=er-key')).toEqual([4]);
    expect(await ids('?since=3')).toEqual([3, 4]);
    const page = await arrivals(simulator, '?limit=2');
    expect(page.nextSeq).toBe(2);
    expect(await ids(`?limit=2&since=${page.nextSeq}`)).toEqual([2, 3]);
    const filtered = await arrivals(simulator, '?limit=1&clientRequestIdPrefix=job_a/');
    expect(await ids(`?clientRequestIdPrefix=job_a/&since=${filtered.nextSeq}`)).toEqual([2]);
  });

  test('the oldest go when it is full, and the reader is told how many', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 0, max: 200 }), (capacity, count) => {
        const log = new ArrivalLog(capacity);
        for (let seq = 0; seq < count; seq++) append(log, String(seq));
        const seen: string[] = [];
        log.visit(0, (segment, index, seq) => {
          expect(log.read(segment, index, seq).clientRequestId).toBe(String(seq));
          return seen.push(String(seq)) > 0;
        });
        const expected = Array.from({ length: count }, (_, seq) => String(seq)).slice(-capacity);
        expect(seen).toEqual(expected);
        expect(log.dropped).toBe(Math.max(0, count - capacity));
        expect(log.allocated).toBeLessThanOrEqual(2 * capacity);
      }),
    );
  });

  test('an entry that has gone can still be ended', () => {
    const log = new ArrivalLog(2);
    const seq = append(log, 'first');
    for (let count = 0; count < 10; count++) append(log, 'later');
    log.finished(seq, 1, 1, false);
    expect(log.inFlight).toBe(10);
  });

  test('clearing forgets the entries and keeps counting', async () => {
    const simulator = await start();
    await chat(simulator);
    expect((await control(simulator, 'DELETE', 'arrivals')).body).toEqual({ nextSeq: 1 });
    expect(await arrivals(simulator)).toEqual({ arrivals: [], nextSeq: 1, dropped: 0 });
    await chat(simulator);
    expect((await arrivals(simulator)).arrivals).toMatchObject([{ seq: 1 }]);
  });
});

function append(log: ArrivalLog, clientRequestId: string): number {
  return log.append({
    atMs: 0,
    monoMs: 0,
    path: '/v1/messages',
    credential: '',
    model: '',
    clientRequestId,
    bodyHash: 0,
    bodyBytes: 0,
    generation: true,
  });
}

test('the summary counts statuses, refusals, faults and calls of each job', async () => {
  const limits = { scopes: [{ limits: [{ dimension: 'requests' as const, amount: 4 }] }] };
  const simulator = await start({ clock: new ManualClock(), limits });
  for (const id of ['job_a/1', 'job_b/1', 'job_a/2', '']) await chat(simulator, chatBody(), asJob(id));
  await chat(simulator, chatBody(), asJob('job_a/3'));
  await control(simulator, 'PUT', 'limits', { scopes: [] });
  await chat(simulator, chatBody('[[sim:{"status":500}]]'), asJob('job_c/1'));
  await post(simulator, '/v1/messages/count_tokens', chatBody());
  const { body } = await control<ArrivalSummary>(simulator, 'GET', 'summary');
  expect(body).toMatchObject({
    total: 6,
    byStatus: { 200: 4, 429: 1, 500: 1 },
    byRefusedBy: { requests: 1 },
    byFault: { 'status:500': 1 },
    distinctJobs: 3,
    maxCallsPerJob: 3,
    jobsCalledMoreThanOnce: 1,
    repeatedJobs: [{ job: 'job_a', calls: 3 }],
    inFlight: 0,
    maxInFlight: 1,
  });
});

describe('windows', () => {
  const timed = fc
    .array(fc.record({ gapMs: fc.integer({ min: 0, max: 50 }), amount: fc.integer({ min: 1, max: 9 }) }))
    .map((gaps) => {
      let atMs = 1_800_000_000_000;
      return gaps.map(({ gapMs, amount }) => {
        atMs += gapMs;
        return { atMs, amount };
      });
    });

  test('the fullest rolling window is the fullest of all', () => {
    fc.assert(
      fc.property(timed, fc.integer({ min: 1, max: 300 }), (entries, windowMs) => {
        const sums = entries.map(({ atMs }) =>
          entries
            .filter((other) => other.atMs >= atMs && other.atMs < atMs + windowMs)
            .reduce((sum, { amount }) => sum + amount, 0),
        );
        const found = fullestRolling(
          entries.map(({ atMs }) => atMs),
          entries.map(({ amount }) => amount),
          windowMs,
        );
        expect(found.amount).toBe(Math.max(0, ...sums));
        expect(found.startMs).toBe(entries[sums.indexOf(found.amount)]?.atMs ?? null);
      }),
    );
  });

  test('the fullest slice is the fullest of all', () => {
    fc.assert(
      fc.property(timed, fc.integer({ min: 1, max: 300 }), (entries, sliceMs) => {
        const sums = new Map<number, number>();
        for (const { atMs, amount } of entries) {
          const startMs = Math.floor(atMs / sliceMs) * sliceMs;
          sums.set(startMs, (sums.get(startMs) ?? 0) + amount);
        }
        const found = fullestSlice(
          entries.map(({ atMs }) => atMs),
          entries.map(({ amount }) => amount),
          sliceMs,
        );
        expect(found.amount).toBe(Math.max(0, ...sums.values()));
        if (found.startMs !== null) expect(sums.get(found.startMs)).toBe(found.amount);
      }),
    );
  });

  test('the report tells refused from admitted, and filters by credential and model', async () => {
    const clock = new ManualClock();
    const limits = { scopes: [{ limits: [{ dimension: 'requests' as const, amount: 2 }] }] };
    const simulator = await start({ clock, limits });
    const body = chatBody('Hello there', { max_tokens: 10 });
    for (let count = 0; count < 3; count++) {
      await chat(simulator, body);
      clock.advance(1000);
    }
    const report = async (query: string) =>
      (await control<WindowReport>(simulator, 'GET', `windows?${query}`)).body;
    const whole = await report('windowMs=60000');
    expect(whole.all.requests.amount).toBe(3);
    expect(whole.admitted).toMatchObject({
      requests: { amount: 2, startMs: 1_800_000_000_000 },
      inputTokens: { amount: 12 },
      inputPlusMaxTokens: { amount: 32 },
      inputPlusOutputTokens: { amount: 32 },
      outputTokens: { amount: 20 },
    });
    expect(whole.slices.all.requests.amount).toBe(1);
    expect((await report('windowMs=2000')).all.requests.amount).toBe(2);
    expect((await report('credential=000001&model=gpt-4o')).arrivals).toBe(3);
    expect((await report('model=other')).arrivals).toBe(0);
    expect((await report('credential=other')).arrivals).toBe(0);
  });

  test('the report tells how many calls were in progress at once', async () => {
    const clock = new ManualClock();
    const simulator = await start({ clock, latency: { firstByteMs: 1000 } });
    const asked = [chat(simulator), chat(simulator), chat(simulator)];
    await eventually(() => clock.pendingTimers).toBe(3);
    clock.advance(1000);
    await Promise.all(asked);
    const last = chat(simulator);
    await eventually(() => clock.pendingTimers).toBe(1);
    clock.advance(1000);
    await last;
    const { body } = await control<WindowReport>(simulator, 'GET', 'windows');
    expect(body.concurrency).toEqual({ amount: 3, startMs: 1_800_000_000_000 });
  });
});

describe('the control interface', () => {
  test.each([
    ['POST', 'faults', '{', 'The body is not JSON'],
    ['POST', 'faults', { fault: { nonsense: 1 } }, 'nonsense'],
    ['POST', 'faults', {}, 'fault'],
    ['PUT', 'latency', { jitter: 2 }, 'jitter'],
    ['PUT', 'limits', { scopes: {} }, 'scopes'],
    ['GET', 'arrivals?limit=10001', undefined, 'limit'],
    ['GET', 'arrivals?typo=1', undefined, 'typo'],
    ['GET', 'windows?windowMs=0', undefined, 'windowMs'],
  ])('%s %s with %j is 400 and names what is wrong', async (method, path, body, named) => {
    const answer = await control<{ error: string }>(await start(), method, path, body);
    expect(answer.status).toBe(400);
    expect(answer.body.error).toContain(named);
  });

  test('an unknown path is 404 and health is 200', async () => {
    const simulator = await start();
    expect((await control(simulator, 'GET', 'nothing')).status).toBe(404);
    expect(await control(simulator, 'GET', 'health')).toEqual({
      status: 200,
      body: { ok: true, nextSeq: 0 },
    });
  });
});
