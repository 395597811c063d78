import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCli } from '#test/harness/cli.ts';
import { FaultSystem, post, submit } from '#test/harness/fault-system.ts';
import { chat } from '#test/harness/sluice.ts';
import { until } from '#test/harness/until.ts';

let system: FaultSystem;
let operationsUrl: string;
let ingress: Awaited<ReturnType<FaultSystem['ingress']>>;
beforeAll(async () => {
  const chatPool = { ceilings: { rpm: 6_000, concurrency: 2 } };
  system = await FaultSystem.start({ providers: { openai: { pools: { chat: chatPool } } } });
  ingress = await system.ingress();
  const { operationsPort } = JSON.parse(
    ingress.output.split('\n').find((line) => line.includes('ingress ready'))!,
  ) as { operationsPort: number };
  operationsUrl = `http://127.0.0.1:${operationsPort}`;
  await system.worker();
});
afterAll(() => system.stop());

const pools = (...args: string[]) => runCli(['pools', '--operations-url', operationsUrl, ...args]);

interface Survey {
  pools: {
    pool: string;
    waiting: number;
    waitReason?: string;
    ceilings: { name: string; used: number; amount: number }[];
    credentials: { id: string; state: string; refusals: number }[];
  }[];
}
const poolNow = async (name: string) => {
  const survey = (await (await fetch(`${operationsUrl}/pools`)).json()) as Survey;
  return survey.pools.find(({ pool }) => pool === name)!;
};

test('pools shows what waits and for what, and how far ceilings are used', async () => {
  await submit(
    ingress,
    ['a', 'b', 'c', 'd', 'e'].map((text) => chat(text, { delayMs: 60_000 })),
  );
  await until('the ceiling is used up', async () => {
    const { ceilings, waiting } = await poolNow('chat');
    return waiting === 3 && ceilings.some(({ name, used }) => name === 'concurrency' && used === 2);
  });
  const { pools: all } = JSON.parse((await pools('--json')).stdout) as Survey;
  expect(all.find(({ pool }) => pool === 'chat')).toMatchObject({ waiting: 3, waitReason: 'concurrency' });
  const { code, stdout } = await pools('--once');
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /^POOL +WAITING +LATER +IN HAND +CEILINGS USED +HEAD WAITS FOR +429s +CREDENTIALS\n/,
  );
  expect(stdout).toMatch(/^openai\/chat +3 +0 +\d+ +(?=.*concurrency 100 %).* +concurrency +0 +main ready$/m);
});

test('pools shows a credential that is held back, for how long, and how often it was refused', async () => {
  const refused = chat('f', { kind: 'quota', retryAfter: '120' });
  const body = { ...refused, model: 'claude-sonnet-5', max_tokens: 10 };
  await post(ingress, '/v1/jobs', { endpoint: '/v1/messages', body });
  await until('it is held back', async () => (await poolNow('claude')).credentials[0]!.state === 'cooldown');
  const { stdout } = await pools();
  expect(stdout).toMatch(
    /^anthropic\/claude +1 +0 +0 +none set +cooldown +1 +main cooldown (?:2 min|1 min .*)$/m,
  );
});

test('without an operations port it says what is missing', async () => {
  expect(await runCli(['pools'], { url: 'http://127.0.0.1:1' })).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('--operations-url') as string,
  });
});
