import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { crc32 } from 'node:zlib';
import { Call, headerOf } from './call.ts';
import { handleControl } from './control-api.ts';
import { deliver } from './deliver.ts';
import { anthropicCountTokens, anthropicMessages } from './dialects/anthropic-messages.ts';
import { bedrockConverse } from './dialects/bedrock-converse.ts';
import type { Endpoint, JsonObject } from './dialects/endpoint.ts';
import { errorBody } from './dialects/error-body.ts';
import { geminiCountTokens, geminiEmbed, geminiEmbedMany, geminiGenerate } from './dialects/gemini.ts';
import { modelList } from './dialects/model-list.ts';
import { openaiChat } from './dialects/openai-chat.ts';
import { openaiCompletions } from './dialects/openai-completions.ts';
import { openaiEmbeddings } from './dialects/openai-embeddings.ts';
import { openaiResponses } from './dialects/openai-responses.ts';
import { handleCall } from './handle-call.ts';
import { readBody } from './read-body.ts';
import { type Reply, replyError, replyText } from './reply.ts';
import type { Simulation } from './simulation.ts';

const maxHeaderBytes = 32_768;
// Longer than any client keeps an idle connection, so that it is the client that closes.
const keepAliveMs = 120_000;
const badRequest = 'HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n';

const endpoints = new Map(
  [
    openaiChat,
    openaiCompletions,
    openaiEmbeddings,
    openaiResponses,
    anthropicMessages,
    anthropicCountTokens,
    geminiGenerate,
    geminiCountTokens,
    geminiEmbed,
    geminiEmbedMany,
    bedrockConverse,
  ].map((endpoint) => [endpoint.path, endpoint]),
);

interface Asked {
  method: string;
  path: string;
  query: string;
}

/** The HTTP server of the simulator; it is not listening yet. */
export function createSimulatorServer(simulation: Simulation): Server {
  const server = createServer(
    { maxHeaderSize: maxHeaderBytes, keepAliveTimeout: keepAliveMs },
    (request, response) => {
      const asked = splitUrl(request);
      readBody(request, simulation.maxBodyBytes, (body) => {
        if (!body) refuseBody(response);
        else if (asked.path.startsWith('/_sim/')) handleControl(simulation, response, { ...asked, body });
        else handleProvider(simulation, asked, { request, response, body });
      });
    },
  );
  server.on('clientError', (_error, socket) => rejectGarbage(socket as Socket));
  return server;
}

function splitUrl(request: IncomingMessage): Asked {
  const { method = 'GET', url = '/' } = request;
  const mark = url.indexOf('?');
  return mark < 0
    ? { method, path: url, query: '' }
    : { method, path: url.slice(0, mark), query: url.slice(mark + 1) };
}

function handleProvider(
  simulation: Simulation,
  { method, path }: Asked,
  http: { request: IncomingMessage; response: ServerResponse; body: Buffer },
): void {
  const found = method === 'POST' ? findEndpoint(path) : undefined;
  const generation = found?.endpoint.generation ?? false;
  const about = { path: found?.endpoint.path ?? path, generation, bodyHash: crc32(http.body) };
  const call = new Call(simulation, http, about);
  if (found) {
    handleCall(simulation, found.endpoint, call, found.fields);
    return;
  }
  const reply = otherReply(call, method, path);
  simulation.log.answered(call.seq, reply.status);
  deliver(simulation.clock, call, reply);
}

interface Found {
  endpoint: Endpoint;
  /** What the path says that other dialects say in the body. */
  fields: JsonObject;
}

/** Paths that name a model: where the endpoint stands for which they are, and what else they say. */
const paths: [pattern: RegExp, found: (last: string) => { path: string; stream?: boolean }][] = [
  [
    /^\/openai\/deployments\/([^/]+)\/(chat\/completions|completions|embeddings)$/,
    (last) => ({ path: `/v1/${last}` }),
  ],
  [/^\/v1(?:beta|alpha)?\/models\/([^/:]+):(\w+)$/, geminiMethod],
  [/^\/v1\/projects\/[^/]+\/locations\/[^/]+\/publishers\/google\/models\/([^/:]+):(\w+)$/, geminiMethod],
  [
    /^\/model\/([^/]+)\/(converse|converse-stream)$/,
    (last) => ({ path: '/model/{model}/converse', stream: last === 'converse-stream' }),
  ],
];

function geminiMethod(method: string): { path: string; stream: boolean } {
  const stream = method === 'streamGenerateContent';
  return { path: `/v1beta/models/{model}:${stream ? 'generateContent' : method}`, stream };
}

function findEndpoint(path: string): Found | undefined {
  // Azure's newer paths hold OpenAI's; a path with a placeholder is none.
  const endpoint = path.includes('{')
    ? undefined
    : endpoints.get(path.replace(/^\/openai\/(v1\/)?(?!deployments)/, '/v1/'));
  if (endpoint) return { endpoint, fields: {} };
  for (const [pattern, found] of paths) {
    const [, model, last] = pattern.exec(path) ?? [];
    if (model === undefined) continue;
    const { path: known, ...fields } = found(last!);
    const named = endpoints.get(known);
    return named && { endpoint: named, fields: { ...fields, model: decodeURIComponent(model) } };
  }
  return undefined;
}

function otherReply(call: Call, method: string, path: string): Reply {
  const google = path.startsWith('/v1beta/') ? 'gemini' : 'openai';
  const dialect = headerOf(call.request, 'anthropic-version') ? 'anthropic' : google;
  if (method === 'GET' && path === '/v1/models') {
    return replyText(200, 'application/json', JSON.stringify(modelList(dialect)), []);
  }
  const message = `Unknown request URL: ${method} ${path}.`;
  return replyError({ status: 404, body: errorBody(dialect, 404, message, call.requestId) });
}

function refuseBody(response: ServerResponse): void {
  response.writeHead(413, { 'content-type': 'application/json', connection: 'close' });
  response.end(JSON.stringify(errorBody('openai', 413, 'The request body is too large.', 'req_0')));
}

function rejectGarbage(socket: Socket): void {
  if (socket.writable) socket.end(badRequest);
  else socket.destroy();
}
