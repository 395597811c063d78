// The least a gateway can do: Fastify takes the call, undici passes it on, nothing is kept.
import type { AddressInfo } from 'node:net';
import fastify from 'fastify';
import { Agent, request } from 'undici';
import { callPath } from '../bench-call.ts';

const [, , simulatorUrl] = process.argv;
const maxConnections = 256;
const dispatcher = new Agent({ connections: maxConnections, pipelining: 1 });
const app = fastify();
app.removeAllContentTypeParsers();
app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) =>
  done(null, body),
);
app.post(callPath, async ({ headers, body }, reply) => {
  const { authorization = '' } = headers;
  const answer = await request(`${simulatorUrl}${callPath}`, {
    dispatcher,
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization },
    body: body as Buffer,
  });
  reply.code(answer.statusCode).header('content-type', answer.headers['content-type']);
  return reply.send(Buffer.from(await answer.body.arrayBuffer()));
});
await app.listen({ host: '127.0.0.1', port: 0 });
process.once('SIGTERM', () => process.exit(0));
console.log(`listening on http://127.0.0.1:${(app.server.address() as AddressInfo).port}`);
