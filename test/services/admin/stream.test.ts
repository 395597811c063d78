import { afterAll, beforeAll, expect, test } from 'vitest';
import { chat, startSluice, type TestSluice } from '#test/harness/sluice.ts';
import { until } from '#test/harness/until.ts';

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice({
    withAdmin: true,
    withoutWorker: true,
    settings: { admin: { stream_ms: 100, streams_max: 2 } },
  });
});
afterAll(() => sluice.stop());

interface Survey {
  pools: { provider: string; pool: string; waiting: number }[];
}

/** Opens a stream and keeps the newest state it told. */
async function watch() {
  const response = await sluice.admin('GET', '/admin/stream');
  const seen: { status: number; latest?: Survey; close: () => Promise<void> } = {
    status: response.status,
    close: async () => response.body?.cancel(),
  };
  if (!response.ok) return seen;
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  seen.close = () => reader.cancel();
  void (async () => {
    let text = '';
    for (;;) {
      const { value, done } = await reader.read().catch(() => ({ value: undefined, done: true }));
      if (done) return;
      text += value;
      const events = text.split('\n\n');
      text = events.pop()!;
      for (const event of events) {
        expect(event).toMatch(/^event: pools\ndata: \{/);
        seen.latest = JSON.parse(event.slice(event.indexOf('{'))) as Survey;
      }
    }
  })();
  return seen;
}

test('the stream tells of what has begun to wait, and not more streams open than are allowed', async () => {
  const [first, second] = [await watch(), await watch()];
  expect([first.status, second.status]).toEqual([200, 200]);
  await sluice.post('/v1/jobs', { endpoint: '/v1/chat/completions', body: chat() });
  const waiting = ({ latest }: typeof first) =>
    latest?.pools.find(({ provider, pool }) => provider === 'openai' && pool === 'chat')?.waiting === 1;
  await until('both tell of the waiting call', () => waiting(first) && waiting(second));
  const refused = await sluice.admin('GET', '/admin/stream');
  expect(refused.status).toBe(503);
  expect(await refused.json()).toMatchObject({ code: 'too_many_sockets' });
  await Promise.all([first.close(), second.close()]);
  const again = await until('there is room again', async () => {
    const next = await watch();
    return next.status === 200 ? next : undefined;
  });
  await again.close();
});
