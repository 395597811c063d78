import { z } from 'zod';
import { type CliContext, type CommonOptions, openClient } from './cli-context.ts';
import { CliError, exitCodes } from './cli-error.ts';

const cancelled = z.looseObject({ status: z.string() });

/** Cancels each of these jobs or batches, also when others cannot be cancelled, and fails for those. */
export async function cancelEach(
  context: CliContext,
  collection: '/v1/jobs' | '/v1/batches',
  ids: readonly string[],
  options: CommonOptions,
): Promise<void> {
  const client = await openClient(context, options);
  for (const id of ids) {
    const path = `${collection}/${encodeURIComponent(id)}/cancel`;
    try {
      const answer = await client.askJson(path, cancelled, { method: 'POST' });
      context.print(options.json ? JSON.stringify(answer) : `${id} ${answer.status}`);
    } catch (error) {
      if (!(error instanceof CliError) || error.exitCode !== exitCodes.failed) throw error;
      context.end(exitCodes.failed);
      const { message, code } = error;
      context.print(options.json ? JSON.stringify({ id, error: { code, message } }) : `${id} ${message}`);
    }
  }
}
