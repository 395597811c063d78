import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export interface PortHolder {
  pid: number;
  command: string;
}

const listening = '0A';

function readOr<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch {
    return otherwise;
  }
}

/** Who listens on a TCP port of this machine; undefined where the kernel does not tell (another user, not Linux). */
export function portHolder(port: number): PortHolder | undefined {
  const sockets = new Set(['/proc/net/tcp', '/proc/net/tcp6'].flatMap((file) => socketsOn(file, port)));
  if (sockets.size === 0) return undefined;
  for (const pid of readOr(() => readdirSync('/proc'), []).filter((name) => /^\d+$/.test(name))) {
    const holds = readOr(() => readdirSync(`/proc/${pid}/fd`), []).some((fd) =>
      sockets.has(readOr(() => readlinkSync(`/proc/${pid}/fd/${fd}`), '')),
    );
    if (!holds) continue;
    const command = readOr(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8'), '').replaceAll('\0', ' ');
    return { pid: Number(pid), command: command.trim() };
  }
  return undefined;
}

/** Names of the sockets that listen on a port, as links of file descriptors show them. */
function socketsOn(file: string, port: number): string[] {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  return readOr(() => readFileSync(file, 'utf8'), '')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[1]?.endsWith(`:${hex}`) && fields[3] === listening)
    .map((fields) => `socket:[${fields[9]}]`);
}
