// The ingress of a minimal broker on stock BullMQ: add, wait until finished, answer with the return value.
import type { AddressInfo } from 'node:net';
import { Queue, QueueEvents } from 'bullmq';
import fastify from 'fastify';
import { callPath } from '../bench-call.ts';
import { type StockAnswer, stockConnection, stockQueue } from '../stock-queue.ts';

const [, , redisPort] = process.argv;
const connection = stockConnection(redisPort);
const waitMaxMs = 30_000;
/** waitUntilFinished fails successful jobs that are removed at once, so the last ones stay. */
const keepLast = { count: 1_000 };

const queue = new Queue(stockQueue, { connection });
const events = new QueueEvents(stockQueue, { connection });
// Every waiting call listens for the end of the queue.
queue.setMaxListeners(0);
events.setMaxListeners(0);
await Promise.all([queue.waitUntilReady(), events.waitUntilReady()]);

const app = fastify();
app.post(callPath, async ({ headers, body }, reply) => {
  const data = { authorization: headers.authorization ?? '', body };
  const job = await queue.add('call', data, { removeOnComplete: keepLast, removeOnFail: keepLast });
  const answer = (await job.waitUntilFinished(events, waitMaxMs)) as StockAnswer;
  return reply.code(answer.status).header('content-type', answer.contentType).send(answer.body);
});
await app.listen({ host: '127.0.0.1', port: 0 });
process.once('SIGTERM', () => process.exit(0));
console.log(`listening on http://127.0.0.1:${(app.server.address() as AddressInfo).port}`);
