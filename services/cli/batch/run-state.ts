import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { processPresenceSchema } from '#shared/contracts/process-presence.ts';
import { isRunning, ownPresence } from '#shared/kernel/process-presence.ts';
import { usageError } from '../cli-error.ts';

const runSchema = z.object({
  version: z.literal(1),
  /** Marks the batch of this run at Sluice, so that it is found again when the answer that named it was lost. */
  runId: z.string(),
  url: z.string(),
  inputSha256: z.string(),
  endpoint: z.string(),
  window: z.string(),
  /** The uploaded input. */
  fileId: z.string().optional(),
  /** Whether the batch was asked for, and may therefore exist. */
  asked: z.boolean(),
  batchId: z.string().optional(),
  owner: processPresenceSchema,
});

/** A run, whichever process is at it. */
export type Run = Omit<z.infer<typeof runSchema>, 'owner'>;

/**
 * The small file beside the output that makes a run resumable: new → uploaded → asked → submitted, and removed when
 * everything has been fetched. What of the output was fetched is not in it: the output file itself says so.
 */
export class RunState {
  readonly file: string;

  constructor(outputFile: string) {
    this.file = `${outputFile}.sluice`;
  }

  /** The run that was left unfinished. @throws CliError when it is still running, or unreadable */
  async read(): Promise<Run | undefined> {
    const text = await readFile(this.file, 'utf8').catch(() => undefined);
    if (text === undefined) return undefined;
    const hint = `To begin anew, remove ${this.file} and the output.`;
    let run: z.infer<typeof runSchema>;
    try {
      run = runSchema.parse(JSON.parse(text));
    } catch {
      throw usageError(`${this.file} is not the state of a run.`, hint);
    }
    const self = ownPresence();
    if (run.owner.pid !== self.pid && isRunning(run.owner, self))
      throw usageError(`Process ${run.owner.pid} is already at this run.`);
    return run;
  }

  /** Begins a run. @throws CliError when another process has begun it at the same moment */
  async create(run: Run): Promise<void> {
    const next = await this.#writeBeside(run);
    try {
      await link(next, this.file);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      throw usageError('Another process is already at this run.');
    } finally {
      await rm(next, { force: true });
    }
  }

  /** Written whole or not at all. */
  async write(run: Run): Promise<void> {
    await rename(await this.#writeBeside(run), this.file);
  }

  async #writeBeside(run: Run): Promise<string> {
    const next = `${this.file}.${process.pid}`;
    await writeFile(next, `${JSON.stringify({ ...run, owner: ownPresence() })}\n`, { mode: 0o600 });
    return next;
  }

  async remove(): Promise<void> {
    await rm(this.file, { force: true });
  }
}
