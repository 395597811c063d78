import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { splitLines } from '#shared/batches/split-lines.ts';
import type { ResultFiles } from './doors.ts';
import { customId } from './workload.ts';

interface ResultLine {
  id: string;
  custom_id: string;
  response: { status_code: number } | null;
  error: { code: string } | null;
}

/** What the files of a batch hold. */
export interface Results {
  outputLines: number;
  errorLines: number;
  /** Lines of the input that are in neither file, and those that are in the files more than once. */
  lost: number;
  duplicated: number;
  /** Lines of the files that no line of the input asked for. */
  foreign: number;
  /** Why lines are in the error file: the provider's status or the code of the error. */
  failures: Record<string, number>;
  outputSha256: string;
  /** The job of each line. */
  jobs: Set<string>;
}

/** Reads both files and looks for each custom id of the input. */
export async function checkResults({ output, errors }: ResultFiles, lines: number): Promise<Results> {
  const times = new Map(Array.from({ length: lines }, (_none, at) => [customId(at), 0]));
  const jobs = new Set<string>();
  const failures: Record<string, number> = {};
  let foreign = 0;
  const visit = (line: ResultLine) => {
    const before = times.get(line.custom_id);
    if (before === undefined) foreign++;
    else times.set(line.custom_id, before + 1);
    jobs.add(line.id.replace('batch_req_', 'job_'));
  };
  const outputLines = await eachLine(output, visit);
  const errorLines = await eachLine(errors, (line) => {
    visit(line);
    const why = line.error?.code ?? String(line.response?.status_code);
    failures[why] = (failures[why] ?? 0) + 1;
  });
  const counts = [...times.values()];
  const lost = counts.filter((count) => count === 0).length;
  const duplicated = counts.filter((count) => count > 1).length;
  const outputSha256 = await digestOf(output);
  return { outputLines, errorLines, lost, duplicated, foreign, failures, outputSha256, jobs };
}

async function eachLine(path: string, visit: (line: ResultLine) => void): Promise<number> {
  let lines = 0;
  for await (const { bytes } of splitLines(createReadStream(path), Number.MAX_SAFE_INTEGER)) {
    lines++;
    visit(JSON.parse(bytes!.toString()) as ResultLine);
  }
  return lines;
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
