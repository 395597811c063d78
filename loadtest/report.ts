import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { linePlot } from './plots/line-plot.ts';
import { plotFile, renderReport } from './plots/render-report.ts';
import { type RunResult, rawFolder } from './scenarios/run-result.ts';

const folder = join(rawFolder, '..');

async function readRuns(): Promise<RunResult[]> {
  const files = (await readdir(rawFolder).catch(() => []))
    .filter((file) => file.endsWith('.json'))
    .toSorted();
  const texts = await Promise.all(files.map((file) => readFile(join(rawFolder, file), 'utf8')));
  return texts.map((text) => JSON.parse(text) as RunResult);
}

const runs = await readRuns();
for (const run of runs) {
  for (const plot of run.plots) await writeFile(join(folder, plotFile(run, plot)), linePlot(plot));
}
await writeFile(join(folder, 'REPORT.md'), renderReport(runs));
console.log(JSON.stringify({ runs: runs.length, report: join(folder, 'REPORT.md') }));
