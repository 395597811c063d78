import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import type { CredentialNews } from '#shared/queue/fair/credential-health.ts';
import type { Grant } from '#shared/queue/fair/grant.ts';
import { createMetrics } from '#shared/telemetry/metrics.ts';
import { CredentialBoard } from '../../../../services/worker/limits/credential-board.ts';
import { ManualClock } from '../../../harness/manual-clock.ts';

const grant = (over: Partial<Grant>): Grant => ({
  askedMs: 1_000,
  timeMs: 50_000,
  lastsMs: undefined,
  credential: 'k',
  oversize: false,
  watched: false,
  ...over,
});
const news = (over: Partial<CredentialNews>): CredentialNews => ({
  credential: 'k',
  state: 'cooled',
  forMs: 3_000,
  atMs: 50_000,
  ...over,
});

function board() {
  const clock = new ManualClock();
  const metrics = createMetrics({ processMetrics: false });
  return {
    clock,
    metrics,
    board: new CredentialBoard({ pool: 'p/q', clock, metrics, log: pino({ level: 'silent' }) }),
  };
}

describe('a grant that is not sent yet is given back', () => {
  test('when its credential was held back at the time it was given, or after', () => {
    for (const state of ['cooled', 'open', 'billing'] as const) {
      const { board: own } = board();
      own.heard(news({ state }));
      expect(own.isHeld(grant({ timeMs: 49_000 }))).toBe(true);
      expect(own.isHeld(grant({ timeMs: 50_000 }))).toBe(true);
      expect(own.isHeld(grant({ timeMs: 50_001 }))).toBe(false);
      expect(own.isHeld(grant({ timeMs: 49_000, credential: 'other' }))).toBe(false);
    }
  });

  test('when the whole pool was', () => {
    const { board: own } = board();
    own.heard(news({ credential: '*', state: 'open' }));
    expect(own.isHeld(grant({ timeMs: 49_000 }))).toBe(true);
  });

  test('when this process was refused after it had asked for it, before Redis could say so', () => {
    const { board: own, clock } = board();
    const askedMs = clock.monotonicMs();
    own.refused('k');
    expect(own.isHeld(grant({ askedMs }))).toBe(true);
    expect(own.isHeld(grant({ askedMs: askedMs + 1 }))).toBe(false);
  });

  test('but not for a breaker that closes, or a credential that is only slowed down', () => {
    const { board: own } = board();
    own.heard(news({ state: 'closed' }));
    own.heard(news({ state: 'ramp' }));
    expect(own.isHeld(grant({}))).toBe(false);
    expect(own.isHeld(grant({ credential: undefined }))).toBe(false);
  });
});

test('the gauges show which credentials are held back, and why', async () => {
  const { board: own, metrics } = board();
  const shown = async () =>
    (await metrics.breakerOpen.get()).values.map(({ labels, value }) => [labels.why, value]);
  own.heard(news({ state: 'billing' }));
  expect(await shown()).toEqual([
    ['open', 0],
    ['billing', 1],
  ]);
  own.heard(news({ state: 'closed' }));
  expect(await shown()).toEqual([
    ['open', 0],
    ['billing', 0],
  ]);
});
