/** Rows as aligned columns under their headings; the last column is not padded. */
export function formatTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [headings, ...rows];
  const widths = headings.map((_heading, column) =>
    Math.max(...all.map((row) => (row[column] ?? '').length)),
  );
  return all
    .map((row) =>
      row
        .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column]!)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** The fields of an object of the API, one per line. */
export function formatFields(object: Record<string, unknown>): string {
  const shown = Object.entries(object).filter(([name, value]) => name !== 'object' && value !== null);
  const width = Math.max(16, ...shown.map(([name]) => name.length));
  const text = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value));
  return shown.map(([name, value]) => `${name.padEnd(width)} ${text(value)}`).join('\n');
}

const steps = [
  [86_400, 'd'],
  [3_600, 'h'],
  [60, 'min'],
] as const;

/** A time span in its two largest units' worth: `3 h 20 min`, `12 s`. */
export function formatSpan(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  for (const [index, [unit, name]] of steps.entries()) {
    if (seconds < unit) continue;
    const [lesser, lesserName] = steps[index + 1] ?? [1, 's'];
    const rest = Math.floor((seconds % unit) / lesser);
    return `${Math.floor(seconds / unit)} ${name}${rest > 0 ? ` ${rest} ${lesserName}` : ''}`;
  }
  return `${seconds} s`;
}

/** Dollars, with more digits for small amounts; nothing while there are none. */
export function costOf(usd: number | null | undefined, before = ''): string {
  if (!usd) return '';
  return `${before}$${usd.toFixed(usd >= 1 ? 2 : 6)}`;
}
