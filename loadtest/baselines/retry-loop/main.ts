import OpenAI from 'openai';
import { plannedCall } from '../../scenarios/workload.ts';
import { jobName, readTask } from '../baseline-task.ts';

/**
 * What applications do without a broker: each tenant works through its calls with the OpenAI SDK and its own retries
 * (exponential backoff from 0.5 s to 8 s with jitter, Retry-After honoured, 2 retries). A call that fails is asked again.
 */
const task = await readTask(process.argv[2]);
const { plan } = task;
const callsPerTenant = 8;
const sdkRetries = 2;

const client = new OpenAI({
  apiKey: plan.credentials[0]!.key,
  baseURL: task.simulatorUrl,
  maxRetries: sdkRetries,
});

async function untilServed(tenant: number, index: number): Promise<void> {
  const { endpoint, body } = plannedCall(plan, tenant, index);
  const headers = { 'x-client-request-id': `${jobName(tenant, index)}/1` };
  for (let served = false; !served; ) {
    served = await client.post(endpoint, { body, headers }).then(
      () => true,
      () => false,
    );
  }
}

async function workThrough(tenant: number, numbers: Iterator<number>): Promise<void> {
  for (let next = numbers.next(); !next.done; next = numbers.next()) await untilServed(tenant, next.value);
}

function* count(from: number, to: number): Generator<number> {
  for (let index = from; index < to; index++) yield index;
}

console.log('baseline worker ready');
await Promise.all(
  task.backlog.flatMap(({ tenant, from, to }) => {
    const numbers = count(from, to);
    return Array.from({ length: callsPerTenant }, () => workThrough(tenant, numbers));
  }),
);
