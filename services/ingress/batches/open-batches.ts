import { SluiceError } from '#shared/kernel/errors.ts';
import { newId } from '#shared/kernel/ids.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import { OutcomeWaiter } from '#shared/results/await-outcome.ts';
import { ReplyInbox } from '#shared/results/reply-inbox.ts';
import type { IngressParts } from '../ingress-parts.ts';
import { BatchRunner } from './batch-runner.ts';
import type { DriveParts } from './drive-parts.ts';
import { readFile } from './file-bytes.ts';
import { lineOutcome } from './line-jobs.ts';
import { Places } from './places.ts';

/**
 * What drives batches. It has an inbox and a waiter of its own: thousands of lines that nobody sits and waits for are
 * re-read more slowly than open calls, and without their bodies.
 */
export function openBatches(
  parts: IngressParts,
  blocking: RedisConnection,
  onError: (error: unknown) => void,
): Service[] {
  const { settings, clock, redis, files } = parts;
  const waiterId = newId('ingress');
  const accepted = new Set<string>();
  const replies = { ...settings.replies, reread_ms: settings.batches.reread_ms };
  const waiter = new OutcomeWaiter({
    clock,
    settings: replies,
    readOutcome: (tenant, jobId) => lineOutcome(redis, tenant, jobId, accepted.has(jobId)),
    onError,
  });
  const receive = (announcement: Parameters<OutcomeWaiter['receive']>[0]) => waiter.receive(announcement);
  const inbox = new ReplyInbox({
    ingressId: waiterId,
    blocking,
    subscriber: undefined,
    clock,
    settings: replies,
    onError,
    receive,
  });
  const readInput: DriveParts['readInput'] = async ({ tenant, inputFileId }, fromByte) => {
    const file = await files.view(tenant, inputFileId);
    const chunks = file && (await readFile(parts, file, fromByte));
    if (!chunks) throw new SluiceError('file_not_found', { fields: { file: inputFileId } });
    return chunks;
  };
  const places = new Places(settings.batches.lines_open_max);
  const runner = new BatchRunner({
    ...parts,
    get settings() {
      return parts.settings;
    },
    get models() {
      return parts.models;
    },
    waiter,
    waiterId,
    places,
    accepted,
    readInput,
    onError,
  });
  return [waiter, inbox, runner];
}
