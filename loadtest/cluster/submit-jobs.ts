import { systemClock } from '#shared/kernel/clock.ts';

const jobsPerRequest = 200;
/** A request of long prompts stays below what the API accepts. */
const charactersPerRequest = 4_000_000;

export interface Submission {
  endpoint: string;
  body: Record<string, unknown>;
}

/** Submits jobs in arrays, one request after the other, and tells the id of each as it was accepted. */
export async function submitJobs(
  api: { url: string; key: string },
  calls: Iterable<Submission>,
  accepted: (job: string, atMs: number) => void,
): Promise<void> {
  let batch: string[] = [];
  let characters = 0;
  const send = async () => {
    if (batch.length === 0) return;
    const texts = batch;
    batch = [];
    characters = 0;
    for (const job of await postBatch(api, texts)) accepted(job, systemClock.nowMs());
  };
  for (const call of calls) {
    const text = JSON.stringify(call);
    if (batch.length >= jobsPerRequest || characters + text.length > charactersPerRequest) await send();
    batch.push(text);
    characters += text.length;
  }
  await send();
}

async function postBatch(api: { url: string; key: string }, texts: readonly string[]): Promise<string[]> {
  const response = await fetch(`${api.url}/v1/jobs`, {
    method: 'POST',
    headers: { authorization: `Bearer ${api.key}`, 'content-type': 'application/json' },
    body: `[${texts.join(',')}]`,
  });
  if (response.status !== 202) throw new Error(`Jobs were refused: ${await response.text()}`);
  const { data } = (await response.json()) as { data: { status: number; job?: { id: string } }[] };
  return data.map((entry) => {
    if (!entry.job) throw new Error(`A job was refused: ${JSON.stringify(entry)}`);
    return entry.job.id;
  });
}
