import { plannedCall } from '../scenarios/workload.ts';
import type { BaselineTask } from './baseline-task.ts';

const defaultRetryAfterMs = 1_000;

/** One plain request to the provider; `retryAfterMs` is set when it was refused. */
export async function callSimulator(
  task: BaselineTask,
  call: { tenant: number; index: number; requestId: string; key: string },
): Promise<{ retryAfterMs: number | undefined }> {
  const { endpoint, body } = plannedCall(task.plan, call.tenant, call.index);
  const response = await fetch(`${task.simulatorUrl}${endpoint}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${call.key}`,
      'content-type': 'application/json',
      'x-client-request-id': call.requestId,
    },
    body: JSON.stringify(body),
  });
  await response.arrayBuffer();
  if (response.status !== 429) return { retryAfterMs: undefined };
  const exact = Number(response.headers.get('retry-after-ms') ?? Number.NaN);
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);
  if (exact > 0) return { retryAfterMs: exact };
  return { retryAfterMs: seconds > 0 ? seconds * 1_000 : defaultRetryAfterMs };
}
