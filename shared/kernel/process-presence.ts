import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

/**
 * Where a process runs, precise enough that another process on the same machine can prove it dead: the boot
 * of the machine, the process-id namespace, the process id and the moment it started.
 */
export interface ProcessPresence {
  /** Machine, boot and process-id namespace; empty where they cannot be told apart. */
  host: string;
  pid: number;
  /** Kernel start time of the process in clock ticks since boot; tells a reused process id apart. */
  startTicks: string;
}

function readOr<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch {
    return otherwise;
  }
}

/** Field 22 of /proc/<pid>/stat, and the state letter (field 3). The name in field 2 may hold spaces. */
function processStat(pid: number): { startTicks: string; state: string } | undefined {
  const text = readOr(() => readFileSync(`/proc/${pid}/stat`, 'utf8'), undefined);
  if (text === undefined) return undefined;
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0] ?? '', startTicks: fields[19] ?? '' };
}

/** Whether there is a process of that id, whoever it is; one of another user is there too. */
export function isPresent(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** The presence of a process on this machine. Outside Linux `host` is empty, and nobody can prove anything. */
export function presenceOf(pid: number): ProcessPresence {
  const bootId = readOr(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(), '');
  const namespace = readOr(() => readlinkSync('/proc/self/ns/pid'), '');
  const host = bootId && namespace ? `${hostname()} ${bootId} ${namespace}` : '';
  return { host, pid, startTicks: processStat(pid)?.startTicks ?? '' };
}

/** The presence of this process. */
export function ownPresence(): ProcessPresence {
  return presenceOf(process.pid);
}

/**
 * Whether the process behind `other` is certainly dead. False means "alive or unknown": on another machine only the
 * end of a lease tells.
 */
export function isProvenDead(other: ProcessPresence, self: ProcessPresence): boolean {
  if (self.host === '' || other.host !== self.host) return false;
  const stat = processStat(other.pid);
  // A file that cannot be read (too many open files, a hidden /proc) proves nothing.
  if (stat === undefined) return !isPresent(other.pid);
  return stat.startTicks !== other.startTicks || stat.state === 'Z' || stat.state === 'X';
}

/** Whether the process runs on this machine; a process id alone tells it where nothing better is known. */
export function isRunning(process: ProcessPresence, self: ProcessPresence): boolean {
  if (self.host === '') return isPresent(process.pid);
  return process.host === self.host && !isProvenDead(process, self);
}
