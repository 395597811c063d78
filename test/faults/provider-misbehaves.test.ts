import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '#shared/kernel/clock.ts';
import { keys } from '#shared/redis/keys.ts';
import { FaultSystem, type IngressProcess, post } from '../harness/fault-system.ts';
import { chat } from '../harness/sluice.ts';
import { until } from '../harness/until.ts';

const attemptsMax = 3;
let system: FaultSystem;
let ingress: IngressProcess;

beforeAll(async () => {
  system = await FaultSystem.start({
    jobs: { attempts_max: attemptsMax, retry_after_max_ms: 10_000 },
    providers: {
      openai: {
        // So late may a busy machine be with an answer that is not to time out.
        timeouts: { headers_ms: 3_000, body_ms: 3_000 },
        response_max_bytes: 65_536,
        pools: { chat: { breaker: { failures_max: 100_000 } } },
      },
      // What holds a credential back is met on this one, and not by the other tests.
      anthropic: { pools: { claude: { breaker: { failures_max: 100_000, billing_probe_ms: 100 } } } },
    },
  });
  [ingress] = await Promise.all([system.ingress(), system.worker()]);
});
afterAll(() => system.stop());

type Fault = Record<string, unknown>;

interface Answer {
  status: number;
  job: string;
  body: { error?: { code?: string; message?: string }; usage?: unknown };
}

async function call(fault: Fault, headers: Record<string, string> = {}): Promise<Answer> {
  const response = await post(ingress, '/v1/chat/completions', chat('misbehave', fault), headers);
  return {
    status: response.status,
    job: response.headers.get('x-sluice-job-id')!,
    body: (await response.json()) as Answer['body'],
  };
}

/** A call on the credential of its own. */
async function callClaude(fault: Fault): Promise<{ status: number; job: string }> {
  const body = { ...chat('misbehave', fault), model: 'claude-sonnet-5', max_tokens: 5 };
  const response = await post(ingress, '/v1/messages', body);
  return { status: response.status, job: response.headers.get('x-sluice-job-id')! };
}

/** A call whose first `times` requests meet the fault and whose next one does not. */
async function callAfterFaults(
  name: string,
  fault: Fault,
  times: number,
  headers: Record<string, string> = {},
): Promise<Answer> {
  system.simulator.faults.add({ match: { promptContains: `only (${name})` }, times, fault });
  const response = await post(ingress, '/v1/chat/completions', chat(`only (${name})`), headers);
  return {
    status: response.status,
    job: response.headers.get('x-sluice-job-id')!,
    body: (await response.json()) as Answer['body'],
  };
}

const arrivalsOf = (job: string) => system.arrivalsOf(job);
const rowsOf = async (job: string) => (await system.ledger()).filter((row) => row.job === job);
const atMostOnce = { 'x-sluice-delivery': 'at_most_once' };

const unanswered: [string, Fault, number, string][] = [
  ['never answers', { hang: true }, 504, 'provider_timeout'],
  ['stops in the middle of an answer', { hangAfterBytes: 20 }, 504, 'provider_timeout'],
  ['closes the connection in the middle of an answer', { halfClose: true }, 502, 'provider_unreachable'],
  ['resets the connection', { dropBeforeResponse: true }, 502, 'provider_unreachable'],
  ['answers 200 with half a JSON text', { garbage: true }, 502, 'provider_invalid_response'],
  ['answers 200 with an HTML page', { html: true, status: 200 }, 502, 'provider_invalid_response'],
  ['answers 200 with JSON of another kind', { body: [1, 2] }, 502, 'provider_invalid_response'],
];

describe.concurrent('a provider that', () => {
  test.each(unanswered)(
    '%s is asked attempts_max times, costs nothing in the ledger, and the caller hears why',
    async (_name, fault, status, code) => {
      const answer = await call(fault);
      expect([answer.status, answer.body.error?.code]).toEqual([status, code]);
      expect(arrivalsOf(answer.job)).toHaveLength(attemptsMax);
      expect(await rowsOf(answer.job)).toEqual([]);
    },
  );

  test.each(unanswered)('%s once does not keep the job from its answer', async (name, fault) => {
    const answer = await callAfterFaults(`once ${name}`, fault, 1);
    expect(answer.status).toBe(200);
    expect(arrivalsOf(answer.job)).toHaveLength(2);
    expect(await rowsOf(answer.job)).toHaveLength(1);
  });

  test.each(unanswered)('%s is asked once under at_most_once', async (_name, fault) => {
    const answer = await call(fault, atMostOnce);
    expect(answer.status).toBeGreaterThanOrEqual(500);
    expect(arrivalsOf(answer.job)).toHaveLength(1);
    const state = await system.store.hget(keys.job('acme', answer.job), 'state');
    expect(state).toBe(
      answer.body.error?.code === 'provider_invalid_response' ? 'failed' : 'outcome_unknown',
    );
  });

  test('sends more than response_max_bytes is asked once: the next answer would be as large, and as dear', async () => {
    const answer = await call({ outputTokens: 40_000 });
    expect([answer.status, answer.body.error?.code]).toEqual([502, 'provider_invalid_response']);
    expect(arrivalsOf(answer.job)).toHaveLength(1);
    expect(await rowsOf(answer.job)).toEqual([]);
  });

  test.each([
    ['is negative', { prompt_tokens: -5, completion_tokens: 3 }],
    ['is text', { prompt_tokens: '5', completion_tokens: '3' }],
    ['is 1e18', { prompt_tokens: 1e18, completion_tokens: 1e18 }],
    ['has a fraction', { prompt_tokens: 1.5, completion_tokens: 2 }],
    ['is null', null],
    ['is an array', [1, 2]],
  ])(
    'reports usage that %s: the answer is passed on, and the ledger takes none of it',
    async (_name, usage) => {
      const answer = await call({ usage });
      expect(answer.status).toBe(200);
      expect(await rowsOf(answer.job)).toEqual([]);
      expect(arrivalsOf(answer.job)).toHaveLength(1);
    },
  );

  test('reports no usage at all: the answer is passed on', async () => {
    const answer = await call({ omitUsage: true });
    expect(answer.status).toBe(200);
    expect(await rowsOf(answer.job)).toEqual([]);
  });

  test('answers 500 to everything is asked attempts_max times, and its last answer is passed on', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => call({ status: 500 })));
    for (const { status, job, body } of answers) {
      expect(status).toBe(500);
      expect(body.error?.message).toContain('The simulator was asked for status 500');
      expect(arrivalsOf(job)).toHaveLength(attemptsMax);
    }
  });

  test('answers 500 is asked once under at_most_once', async () => {
    const answer = await call({ status: 500 }, atMostOnce);
    expect(answer.status).toBe(500);
    expect(arrivalsOf(answer.job)).toHaveLength(1);
  });

  test.each([{ kind: 'billing' }, { kind: 'oversize' }])(
    'refuses for good is not asked again: %j',
    async (fault) => {
      const { status, job } = await callClaude(fault);
      expect(status).toBeGreaterThanOrEqual(400);
      expect(arrivalsOf(job)).toHaveLength(1);
    },
  );

  test('refuses with a Retry-After beyond retry_after_max_ms is not waited for: its refusal is the answer', async () => {
    for (const retryAfter of ['86400', '99999999999', new Date(Date.UTC(2099, 0, 1)).toUTCString()]) {
      const { status, job } = await callClaude({ status: 429, retryAfter });
      expect(status).toBe(429);
      expect(arrivalsOf(job)).toHaveLength(1);
    }
  });

  test.each([
    ['seconds', { retryAfter: '2' }, 2_000],
    ['milliseconds', { retryAfterMs: 1_200 }, 1_200],
    ['seconds with a 503', { retryAfter: '1', status: 503 }, 1_000],
  ])('says Retry-After in %s hears nothing before it has passed', async (name, fault, waitMs) => {
    const answer = await callAfterFaults(`patience ${name}`, { status: 429, ...fault }, 2);
    expect(answer.status).toBe(200);
    const [first, second, third] = arrivalsOf(answer.job);
    expect(second!.atMs - first!.finishedMs!).toBeGreaterThanOrEqual(waitMs);
    expect(third!.atMs - second!.finishedMs!).toBeGreaterThanOrEqual(waitMs);
  });

  test('says Retry-After as a date hears nothing before it', async () => {
    const dueMs = Math.ceil(systemClock.nowMs() / 1_000) * 1_000 + 2_000;
    const answer = await callAfterFaults(
      'a date',
      { status: 429, retryAfter: new Date(dueMs).toUTCString() },
      1,
    );
    expect(answer.status).toBe(200);
    expect(arrivalsOf(answer.job)[1]!.atMs).toBeGreaterThanOrEqual(dueMs);
  });

  test.each([['-5'], ['soon'], ['1e9'], ['0']])(
    'says Retry-After: %s is asked again all the same',
    async (retryAfter) => {
      const answer = await callAfterFaults(`nonsense ${retryAfter}`, { status: 429, retryAfter }, 1);
      expect(answer.status).toBe(200);
      expect(arrivalsOf(answer.job)).toHaveLength(2);
    },
  );

  test('refuses for quota more often than attempts_max allows is asked on: a refusal is no attempt', async () => {
    const answer = await callAfterFaults('long quota', { kind: 'quota', retryAfterMs: 20 }, 3 * attemptsMax);
    expect(answer.status).toBe(200);
    expect(arrivalsOf(answer.job)).toHaveLength(3 * attemptsMax + 1);
  });

  test('says Retry-After hears nothing before it has passed even when the ticket is lost meanwhile', async () => {
    system.simulator.faults.add({
      match: { promptContains: 'only forgetful' },
      times: 1,
      fault: { status: 429, retryAfter: '4' },
    });
    const response = await post(ingress, '/v1/chat/completions', chat('only forgetful'), {
      prefer: 'respond-async',
    });
    const { id } = (await response.json()) as { id: string };
    await until(
      'refused once, and waiting',
      async () => (await system.store.hget(keys.job('acme', id), 'waitReason')) === 'cooldown',
    );
    await system.store.zrem('sl:{openai}:chat:prioritized', id);
    await system.store.del(`sl:{openai}:chat:${id}`);
    expect(await system.ended([id])).toEqual({ succeeded: 1 });
    const [first, second] = arrivalsOf(id);
    expect(second!.atMs - first!.finishedMs!).toBeGreaterThanOrEqual(4_000);
  });
});
