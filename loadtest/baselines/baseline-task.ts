import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DrainPlan } from '../scenarios/drain-plan.ts';

/** What a worker process of a baseline needs to know; it is handed over in a file. */
export interface BaselineTask {
  plan: DrainPlan;
  simulatorUrl: string;
  redisUrl: string;
  /** Calls of each tenant in this process, by the tenant's number. */
  backlog: { tenant: number; from: number; to: number }[];
}

export async function writeTask(folder: string, name: string, task: BaselineTask): Promise<string> {
  const file = join(folder, `${name}.json`);
  await writeFile(file, JSON.stringify(task));
  return file;
}

export async function readTask(file: string | undefined): Promise<BaselineTask> {
  if (file === undefined) throw new Error('Name the file of the task.');
  return JSON.parse(await readFile(file, 'utf8')) as BaselineTask;
}

export const queueName = 'baseline';
export const jobName = (tenant: number, index: number) => `t${tenant}-${index}`;
