// The worker of a minimal broker on stock BullMQ: calls the provider and returns its answer.
import { Worker } from 'bullmq';
import { Agent, request } from 'undici';
import { callPath } from '../bench-call.ts';
import { type StockAnswer, type StockCall, stockConnection, stockQueue } from '../stock-queue.ts';

const [, , redisPort, simulatorUrl] = process.argv;
const concurrency = 256;
const dispatcher = new Agent({ connections: concurrency, pipelining: 1 });

async function callProvider({ authorization, body }: StockCall): Promise<StockAnswer> {
  const answer = await request(`${simulatorUrl}${callPath}`, {
    dispatcher,
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization },
    body: JSON.stringify(body),
  });
  const contentType = String(answer.headers['content-type']);
  return { status: answer.statusCode, contentType, body: await answer.body.text() };
}

const worker = new Worker<StockCall, StockAnswer>(stockQueue, (job) => callProvider(job.data), {
  connection: stockConnection(redisPort),
  concurrency,
});
worker.on('error', (error) => console.error(error.message));
await worker.waitUntilReady();
process.once('SIGTERM', () => process.exit(0));
console.log('worker ready');
