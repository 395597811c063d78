import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { linePlot, roundUp } from '../../../loadtest/plots/line-plot.ts';
import { renderReport } from '../../../loadtest/plots/render-report.ts';

const plot = {
  name: 'arrivals',
  title: 'A & B <C>',
  yLabel: 'calls',
  series: [
    {
      name: 'admitted',
      points: [
        [0, 0],
        [10, 100],
      ] as [number, number][],
    },
  ],
  level: { name: 'ceiling', y: 50 },
};

describe('a plot', () => {
  test('draws the first point at the lower left, the last at the upper right, and the level half way', () => {
    const svg = linePlot(plot);
    expect(svg).toContain('<polyline points="80,280 670,34"');
    expect(svg).toContain('y1="157" x2="670" y2="157" stroke="#111827"');
  });

  test('escapes its texts', () => expect(linePlot(plot)).toContain('A &amp; B &lt;C&gt;'));

  test('has no number that is none, even without a point', () => {
    expect(linePlot({ ...plot, series: [{ name: 'nothing', points: [] }] })).not.toMatch(/NaN|Infinity/);
  });

  test('ends its axis at a round number that is never below the values', () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-6, max: 1e12, noNaN: true }), (value) => {
        const most = roundUp(value);
        expect(most).toBeGreaterThanOrEqual(value * (1 - 1e-6));
        expect(most).toBeLessThanOrEqual(value * 2.6);
      }),
    );
  });
});

describe('the report', () => {
  test('has a table for each scenario, and a dash where there is no number', () => {
    const run = { scenario: 'drain', name: 'drain-x', flags: { shape: 'refill' }, plots: [plot] };
    const report = renderReport([{ ...run, measures: { ceilingUsed: 0.995, shareErrorMax: null } }]);
    expect(report).toMatch(/\| refill, .*: Sluice \| 99\.50 % \| – \| – \| – \|/);
    expect(report).toContain('![A & B <C>](drain-x-arrivals.svg)');
  });

  test('puts the product above what it is compared with, and names what an event broke', () => {
    const of = (scenario: string, measures: Record<string, unknown>) => ({
      scenario,
      name: scenario,
      flags: { shape: 'fixed', dimension: 'rpm', mix: 'small', 'window-seconds': 60 },
      measures,
      plots: [],
    });
    const report = renderReport([
      of('baseline-bullmq', { quota429: 12 }),
      of('drain', { quota429: 0 }),
      of('worker-kill', { holds: { shares: true, nothingLost: false }, accepted: 9, lost: 1 }),
    ]);
    expect(report.indexOf('small, 60 s windows: Sluice')).toBeLessThan(report.indexOf('stock BullMQ with'));
    expect(report).toContain('| worker-kill | nothingLost | 9 | 1 |');
  });
});
