import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCli } from '#test/harness/cli.ts';
import { FaultSystem, submit } from '#test/harness/fault-system.ts';
import { chat } from '#test/harness/sluice.ts';
import { until } from '#test/harness/until.ts';

let system: FaultSystem;
let operationsUrl: string;
let ingress: Awaited<ReturnType<FaultSystem['ingress']>>;
beforeAll(async () => {
  const chatPool = { ceilings: { rpm: 2, concurrency: 10 } };
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
const chatPool = async () =>
  (JSON.parse((await pools('--json')).stdout) as Survey).pools.find(({ pool }) => pool === 'chat')!;

test('pools shows what waits and for what, how far ceilings are used, and a credential that is held back', async () => {
  await submit(ingress, [chat('a'), chat('b'), chat('c'), chat('d'), chat('e')]);
  await until('the ceiling is used up', async () =>
    (await chatPool()).ceilings.some(({ name, used }) => name === 'rpm' && used === 2),
  );
  expect(await chatPool()).toMatchObject({
    waiting: 3,
    waitReason: 'rpm',
    credentials: [{ id: 'main', state: 'ready' }],
  });
  const { code, stdout } = await pools('--once');
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /^POOL +WAITING +LATER +IN HAND +CEILINGS USED +HEAD WAITS FOR +429s +CREDENTIALS\n/,
  );
  expect(stdout).toMatch(/^openai\/chat +3 +0 +\d+ +(?=.*rpm 100 %).* +rpm +0 +main ready$/m);
  expect(stdout).toMatch(/^anthropic\/claude +0 +0 +0 +none set +- +0 +main ready$/m);
});

test('without an operations port it says what is missing', async () => {
  expect(await runCli(['pools'], { url: 'http://127.0.0.1:1' })).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('--operations-url') as string,
  });
});
