import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '#shared/kernel/clock.ts';
import { CliProcess, runCli } from '#test/harness/cli.ts';
import { chat, startSluice, type TestSluice } from '#test/harness/sluice.ts';
import { otherKey } from '#test/harness/test-settings.ts';
import { until } from '#test/harness/until.ts';

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice();
});
afterAll(() => sluice.stop());

const cli = (...args: string[]) => runCli(args, { url: sluice.url });

async function submit(body: Record<string, unknown>, more: Record<string, unknown> = {}): Promise<string> {
  const response = await sluice.post('/v1/jobs', { endpoint: '/v1/chat/completions', body, ...more });
  return ((await response.json()) as { id: string }).id;
}
const inAnHour = () => Math.floor(systemClock.nowMs() / 1_000) + 3_600;

describe('sluice jobs', () => {
  test('get shows a job and its result once it is there', async () => {
    const id = await submit(chat('show me'));
    const job = await cli('jobs', 'get', id, '--wait', '30', '--json');
    expect(job).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(job.stdout)).toMatchObject({ id, status: 'succeeded', provider: 'openai' });
    const result = await cli('jobs', 'get', id, '--result');
    expect(JSON.parse(result.stdout)).toMatchObject({ object: 'chat.completion' });
    expect(result.stdout.trimEnd()).toBe(await (await sluice.get(`/v1/jobs/${id}/result`)).text());
  });

  test('the result of a job that failed is printed too, and the command fails', async () => {
    const id = await submit(chat('no', { status: 400 }));
    const result = await cli('jobs', 'get', id, '--result', '--wait', '30');
    expect(result.code).toBe(1);
    expect(JSON.parse(result.stdout)).toHaveProperty('error');
  });

  test('ls lists what the filters ask for, page by page', async () => {
    const metadata = { run: 'list' };
    const ids = [];
    for (const text of ['a', 'b', 'c']) ids.unshift(await submit(chat(text), { metadata }));
    await submit(chat('another'));
    const filter = ['jobs', 'ls', '--metadata', 'run=list', '--limit', '2'];
    const first = await cli(...filter, '--json');
    const page = JSON.parse(first.stdout) as { data: { id: string }[]; last_id: string; has_more: boolean };
    expect(page.data.map(({ id }) => id)).toEqual(ids.slice(0, 2));
    const rest = await cli(...filter, '--after', page.last_id);
    expect(rest.stdout.split('\n')[1]).toContain(ids[2]!);
    expect(rest.stdout).toMatch(/^JOB +STATUS +MODEL +AGE +DETAIL\n/);
    expect(await cli('jobs', 'ls', '--status', 'expired')).toMatchObject({ code: 0, stdout: '' });
  });

  test('cancel cancels every job it can and fails for the rest', async () => {
    const waiting = await submit(chat('later'), { run_at: inAnHour() });
    const done = await submit(chat('now'));
    await cli('jobs', 'get', done, '--wait', '30');
    const ended = await cli('jobs', 'cancel', done, waiting);
    expect(ended.code).toBe(1);
    expect(ended.stdout).toContain(`${waiting} cancelled`);
    expect(ended.stdout).toContain(`${done} The job ${done} is already succeeded.`);
  });

  test('tail follows a job until it ends', async () => {
    const id = await submit(chat('followed', { delayMs: 300 }));
    const tail = new CliProcess(['jobs', 'tail', id, '--json'], { url: sluice.url });
    await until('it shows something', () => tail.stdout.includes('\n'));
    const { code, stdout } = await tail.ended;
    expect(code).toBe(0);
    const last = JSON.parse(stdout.trim().split('\n').at(-1)!) as { data: { status: string } };
    expect(last.data.status).toBe('succeeded');
  });

  test('tail of a job that did not succeed fails', async () => {
    const id = await submit(chat('no', { status: 400 }));
    expect((await cli('jobs', 'tail', id)).code).toBe(1);
  });
});

describe('how sluice ends', () => {
  test.each([
    ['a job that is not there', 1, ['jobs', 'get', `job_${'0'.repeat(32)}`], 'job_not_found'],
    ['a wrong key', 4, ['jobs', 'ls', '--key', 'sk-sl-wrong'], 'invalid_key'],
    ['nobody there', 3, ['jobs', 'ls', '--url', 'http://127.0.0.1:1'], 'unreachable'],
    ['a wrong filter', 2, ['jobs', 'ls', '--status', 'lost'], null],
  ])('%s: exit code %i, and a reason for machines', async (_what, code, args, reason) => {
    const ended = await cli(...args, '--json');
    expect(ended).toMatchObject({ code, stdout: '' });
    expect((JSON.parse(ended.stderr) as { error: { code: string | null } }).error.code).toBe(reason);
  });

  test('an unknown command: exit code 2', async () => {
    expect(await cli('jobs', 'fly')).toMatchObject({ code: 2, stdout: '' });
  });

  test('a job of another tenant is not there', async () => {
    const id = await submit(chat('mine'));
    const ended = await runCli(['jobs', 'get', id], { url: sluice.url, key: otherKey });
    expect(ended).toMatchObject({ code: 1, stdout: '' });
  });
});
