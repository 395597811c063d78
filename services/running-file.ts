import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { processPresenceSchema } from '#shared/contracts/process-presence.ts';
import { isRunning, ownPresence } from '#shared/kernel/process-presence.ts';

const runningSchema = z.object({
  url: z.string(),
  operationsUrl: z.string(),
  key: z.string(),
  adminKey: z.string(),
  owner: processPresenceSchema,
});

/** Where a Sluice of this data folder can be reached, and with which key. */
export type RunningSluice = z.infer<typeof runningSchema>;

/** A host to connect to, for one that a server listens on. */
export const reachableHost = (host: string) => (host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host);

const fileIn = (dataDir: string) => join(dataDir, 'running.json');

/** Lets the command line on this machine find a Sluice that runs; readable by its owner only, as it holds a key. */
export async function writeRunningFile(
  dataDir: string,
  running: Omit<RunningSluice, 'owner'>,
): Promise<void> {
  const file = fileIn(dataDir);
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  await writeFile(file, `${JSON.stringify({ ...running, owner: ownPresence() })}\n`, { mode: 0o600 });
  // The mode above only holds for a new file.
  await chmod(file, 0o600);
}

export async function removeRunningFile(dataDir: string): Promise<void> {
  const running = await readFile(fileIn(dataDir), 'utf8').catch(() => undefined);
  const mine = running !== undefined && parse(running)?.owner.pid === process.pid;
  if (mine) await rm(fileIn(dataDir), { force: true });
}

/** The Sluice that runs on this data folder. */
export async function readRunningFile(dataDir: string): Promise<RunningSluice | undefined> {
  const text = await readFile(fileIn(dataDir), 'utf8').catch(() => undefined);
  const running = text === undefined ? undefined : parse(text);
  return running && isRunning(running.owner, ownPresence()) ? running : undefined;
}

function parse(text: string): RunningSluice | undefined {
  try {
    return runningSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
