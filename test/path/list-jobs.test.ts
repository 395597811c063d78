import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '#shared/kernel/clock.ts';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { submit } from './support.ts';

const jobCount = 230;
let sluice: TestSluice;
const ids: string[] = [];
beforeAll(async () => {
  sluice = await startSluice({ withoutWorker: true });
  for (let at = 0; at < jobCount; at++)
    ids.push(await submit(sluice, chat(), { metadata: { parity: at % 2 ? 'odd' : 'even', at: String(at) } }));
});
afterAll(() => sluice.stop());

interface Page {
  data: { id: string; status: string; metadata: Record<string, string> }[];
  first_id: string | null;
  last_id: string | null;
  has_more: boolean;
}

async function page(query: string): Promise<Page> {
  const response = await sluice.get(`/v1/jobs?${query}`);
  expect(response.status).toBe(200);
  return (await response.json()) as Page;
}

/** Follows `after` to the end. */
async function all(query: string): Promise<Page['data']> {
  const found: Page['data'] = [];
  for (let after = ''; ; ) {
    const next = await page(`${query}${after}`);
    found.push(...next.data);
    if (!next.has_more) return found;
    expect(next.last_id).not.toBeNull();
    after = `&after=${next.last_id}`;
  }
}

test('pages of any size hold every job exactly once', async () => {
  for (const limit of [7, 100]) {
    const listed = (await all(`limit=${limit}`)).map(({ id }) => id);
    expect(listed).toHaveLength(jobCount);
    expect(new Set(listed)).toEqual(new Set(ids));
  }
});

test('the newest job comes first, twenty by default', async () => {
  const first = await page('');
  expect(first).toMatchObject({ object: 'list', has_more: true, first_id: ids.at(-1), data: { length: 20 } });
  expect(first.last_id).toBe(first.data.at(-1)!.id);
});

test('metadata filters select across pages', async () => {
  const odd = await all('limit=10&metadata.parity=odd');
  expect(odd).toHaveLength(jobCount / 2);
  expect(odd.every(({ metadata }) => metadata.parity === 'odd')).toBe(true);
  expect((await all('metadata.parity=odd&metadata.at=7')).map(({ id }) => id)).toEqual([ids[7]]);
  expect(await all('metadata.parity=neither')).toEqual([]);
});

test('status filters select by the status that the job shows', async () => {
  const cancelled = ids[3]!;
  expect((await sluice.post(`/v1/jobs/${cancelled}/cancel`, '')).status).toBe(200);
  const later = await submit(sluice, chat(), { run_at: '2026-01-01T00:00:00Z' });
  const scheduled = await submit(sluice, chat(), { run_at: Math.floor(systemClock.nowMs() / 1_000) + 600 });
  expect((await all('status=cancelled')).map(({ id }) => id)).toEqual([cancelled]);
  expect((await all('status=scheduled')).map(({ id }) => id)).toEqual([scheduled]);
  const queued = (await all('status=queued&limit=100')).map(({ id }) => id);
  expect(queued).toHaveLength(jobCount);
  expect(queued).toContain(later);
  expect(queued).not.toContain(scheduled);
});

test('400: a limit, a status or a cursor that makes no sense, named', async () => {
  for (const [query, param] of [
    ['limit=0', 'limit'],
    ['limit=101', 'limit'],
    ['limit=x', 'limit'],
    ['status=lost', 'status'],
  ]) {
    const response = await sluice.get(`/v1/jobs?${query}`);
    expect([response.status, await response.json()]).toMatchObject([400, { code: 'invalid_request', param }]);
  }
  expect((await sluice.get('/v1/jobs?after=nonsense')).status).toBe(404);
});
