import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
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

/** Plots of runs that are no longer there. */
async function removeOldPlots(): Promise<void> {
  const files = await readdir(folder);
  await Promise.all(files.filter((file) => file.endsWith('.svg')).map((file) => rm(join(folder, file))));
}

const runs = await readRuns();
if (runs.length === 0) throw new Error('There are no runs yet: npm run loadtest -- <scenario>.');
await removeOldPlots();
for (const run of runs) {
  for (const plot of run.plots) await writeFile(join(folder, plotFile(run, plot)), linePlot(plot));
}
await writeFile(join(folder, 'REPORT.md'), renderReport(runs));
console.log(JSON.stringify({ runs: runs.length, report: join(folder, 'REPORT.md') }));
