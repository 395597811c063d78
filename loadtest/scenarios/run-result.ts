import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';

export const rawFolder = fileURLToPath(new URL('../results/raw', import.meta.url));

/** A line of a plot: x in seconds since the start of the run. */
export interface Series {
  name: string;
  points: [x: number, y: number][];
}

/** One picture of a run. */
export interface PlotData {
  name: string;
  title: string;
  yLabel: string;
  series: Series[];
  /** A horizontal line with a name. */
  level?: { name: string; y: number };
}

/** What a run leaves behind for the report. */
export interface RunResult {
  scenario: string;
  /** Tells it from other runs of the same scenario; also its file name. */
  name: string;
  /** The flags that were in force. */
  flags: Record<string, unknown>;
  measures: Record<string, unknown>;
  plots: PlotData[];
  /** On what it ran. */
  machine?: string;
}

export async function saveResult(result: RunResult): Promise<void> {
  await mkdir(rawFolder, { recursive: true });
  const machine = `${availableParallelism()} cores, Node ${process.versions.node}`;
  await writeFile(`${rawFolder}/${result.name}.json`, JSON.stringify({ ...result, machine }));
}
