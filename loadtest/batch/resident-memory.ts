import { readFile } from 'node:fs/promises';

async function statusMb(pid: number, field: RegExp): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Math.round(Number(field.exec(status)?.[1] ?? 0) / 1_024);
}

/** Largest resident memory of a process so far, megabytes; 0 where /proc does not tell. */
export const peakRssMb = (pid: number) => statusMb(pid, /VmHWM:\s+(\d+) kB/);

/** What it has now. */
export const rssMb = (pid: number) => statusMb(pid, /VmRSS:\s+(\d+) kB/);
