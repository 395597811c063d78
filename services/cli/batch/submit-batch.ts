import { openAsBlob } from 'node:fs';
import { basename } from 'node:path';
import { z } from 'zod';
import type { SluiceClient } from '../sluice-client.ts';
import { type Batch, batchPage, batchShape } from './batch-shape.ts';

const fileShape = z.object({ id: z.string() });
/** Name of the metadata that marks the batch of a run. */
const mark = 'sluice_run';
/** Batches looked through for one that was asked for by a run whose process died before it read the answer. */
const pagesMax = 10;
const pageSize = 100;

/** Sends the input, read from the disk as it goes out. Returns the id of the file. */
export async function uploadInput(client: SluiceClient, path: string, signal: AbortSignal): Promise<string> {
  const form = new FormData();
  form.set('purpose', 'batch');
  form.set('file', await openAsBlob(path), basename(path));
  const file = await client.askJson('/v1/files', fileShape, { method: 'POST', form, answerMs: 0, signal });
  return file.id;
}

export interface BatchRequest {
  runId: string;
  fileId: string;
  endpoint: string;
  window: string;
}

export function createBatch(client: SluiceClient, request: BatchRequest): Promise<Batch> {
  const body = {
    input_file_id: request.fileId,
    endpoint: request.endpoint,
    completion_window: request.window,
    metadata: { [mark]: request.runId },
  };
  return client.askJson('/v1/batches', batchShape, { method: 'POST', body });
}

/** The batch of a run, should it exist. */
export async function findBatch(client: SluiceClient, runId: string): Promise<Batch | undefined> {
  let after: string | undefined;
  for (let page = 0; page < pagesMax; page++) {
    const query = `limit=${pageSize}${after ? `&after=${after}` : ''}`;
    const { data, has_more, last_id } = await client.askJson(`/v1/batches?${query}`, batchPage);
    const found = data.find(({ metadata }) => metadata?.[mark] === runId);
    if (found || !has_more || !last_id) return found;
    after = last_id;
  }
  return undefined;
}
