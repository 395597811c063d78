import type { PlotData, Series } from '../scenarios/run-result.ts';

const width = 860;
const height = 320;
const left = 80;
const right = 190;
const top = 34;
const bottom = 40;
const ticks = 5;
const colors = [
  '#2563eb',
  '#dc2626',
  '#16a34a',
  '#d97706',
  '#7c3aed',
  '#0891b2',
  '#be185d',
  '#4d7c0f',
  '#b45309',
  '#4338ca',
  '#0f766e',
  '#9f1239',
];
const listedSeries = 14;

/** Escapes text for XML. */
function escapeText(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

/** A round number at or above `value`: 1, 2 or 5 times a power of ten. */
export function roundUp(value: number): number {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 2, 5, 10].find((factor) => value <= factor * power * (1 + 1e-9)) ?? 10;
  return step * power;
}

const short = (value: number) =>
  new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 2 }).format(value);

interface Scale {
  x(value: number): number;
  y(value: number): number;
  xMost: number;
  yMost: number;
}

function scaleOf({ series, level }: PlotData): Scale {
  const points = series.flatMap((line) => line.points);
  const xMost = points.reduce((most, [x]) => Math.max(most, x), 0) || 1;
  const yMost = roundUp(points.reduce((most, [, y]) => Math.max(most, y), level?.y ?? 0));
  const plotWidth = width - left - right;
  const plotHeight = height - top - bottom;
  const inPlot = (part: number) => Math.round(part * 10) / 10;
  return {
    xMost,
    yMost,
    x: (value) => inPlot(left + (value / xMost) * plotWidth),
    y: (value) => inPlot(top + plotHeight - (value / yMost) * plotHeight),
  };
}

function grid(scale: Scale, yLabel: string): string[] {
  const parts = Array.from({ length: ticks + 1 }, (_, tick) => tick / ticks);
  const edge = width - right;
  return [
    ...parts.map((part) => {
      const y = scale.y(part * scale.yMost);
      return `<line x1="${left}" y1="${y}" x2="${edge}" y2="${y}" stroke="#e5e7eb"/><text x="${left - 6}" y="${y + 4}" text-anchor="end">${short(part * scale.yMost)}</text>`;
    }),
    ...parts.map((part) => {
      const x = scale.x(part * scale.xMost);
      return `<text x="${x}" y="${height - bottom + 16}" text-anchor="middle">${short(part * scale.xMost)} s</text>`;
    }),
    `<text x="14" y="${height / 2}" text-anchor="middle" transform="rotate(-90 14 ${height / 2})">${escapeText(yLabel)}</text>`,
  ];
}

function lineOf(scale: Scale, { name, points }: Series, index: number): string[] {
  const color = colors[index % colors.length]!;
  const path = points.map(([x, y]) => `${scale.x(x)},${scale.y(y)}`).join(' ');
  const line = `<polyline points="${path}" fill="none" stroke="${color}" stroke-width="1.5"/>`;
  if (index >= listedSeries) return [line];
  const y = top + 10 + index * 18;
  const x = width - right + 12;
  const sample = `<line x1="${x}" y1="${y}" x2="${x + 16}" y2="${y}" stroke="${color}" stroke-width="2"/>`;
  return [line, sample, `<text x="${x + 22}" y="${y + 4}">${escapeText(name)}</text>`];
}

function levelOf(scale: Scale, level: { name: string; y: number }): string[] {
  const y = scale.y(level.y);
  const edge = width - right;
  return [
    `<line x1="${left}" y1="${y}" x2="${edge}" y2="${y}" stroke="#111827" stroke-dasharray="6 4"/>`,
    `<text x="${edge - 4}" y="${y - 5}" text-anchor="end">${escapeText(level.name)}</text>`,
  ];
}

/** A line plot as the text of an SVG file. */
export function linePlot(plot: PlotData): string {
  const scale = scaleOf(plot);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="11" fill="#374151">`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    `<text x="${left}" y="20" font-size="13" font-weight="bold">${escapeText(plot.title)}</text>`,
    ...grid(scale, plot.yLabel),
    ...plot.series.flatMap((series, index) => lineOf(scale, series, index)),
    ...(plot.level ? levelOf(scale, plot.level) : []),
    '</svg>',
    '',
  ].join('\n');
}
