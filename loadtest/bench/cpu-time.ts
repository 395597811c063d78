import { readFileSync } from 'node:fs';

/** Linux counts in hundredths of a second on every architecture Node runs on (USER_HZ). */
const usPerTick = 10_000;
const userTicksField = 11;
const systemTicksField = 12;

/**
 * CPU time of a process from the text of /proc/PID/stat, in microseconds. The second field is the program's name in
 * parentheses and may itself hold spaces and parentheses, so fields are counted from the last closing one.
 */
export function parseCpuTimeUs(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[userTicksField]) + Number(fields[systemTicksField])) * usPerTick;
}

/** CPU time of all threads of a process so far, in microseconds; NaN where there is no /proc. */
export function cpuTimeUs(pid: number): number {
  try {
    return parseCpuTimeUs(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return Number.NaN;
  }
}
