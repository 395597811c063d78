import { crc32 } from 'node:zlib';
import { ZodError } from 'zod';
import { type Call, headerOf } from './call.ts';
import { deliver } from './deliver.ts';
import { isSignedRightly, readSignature } from './dialects/aws-signature.ts';
import {
  type Dialect,
  type Endpoint,
  type Generation,
  InvalidRequest,
  isObject,
  type JsonObject,
  type Prompt,
  type UsageFilter,
} from './dialects/endpoint.ts';
import {
  awsErrorType,
  errorBody,
  invalidRequest,
  unauthorized,
  unknownModel,
} from './dialects/error-body.ts';
import { rateHeaders } from './dialects/rate-headers.ts';
import { refusalReply } from './dialects/refusals.ts';
import { bendReply, replacementReply } from './faults/apply-fault.ts';
import type { Fault } from './faults/fault-schema.ts';
import type { LimitScope } from './limits/limit-scope.ts';
import { type Reply, replyError, replyWith } from './reply.ts';
import type { Simulation } from './simulation.ts';
import { toolCallFor } from './tool-call.ts';

/** More words cost time, and hardly turn a vector. */
const wordsCompared = 64;

/**
 * The way of one call: identify, read, admit, perhaps fail as told, answer. Whatever happens, the call is in the
 * log from its arrival and ends there once.
 */
export function handleCall(
  simulation: Simulation,
  endpoint: Endpoint,
  call: Call,
  pathFields: JsonObject = {},
): void {
  const reply = decideSafely(simulation, endpoint, call, pathFields);
  reply.headers.push(requestIdHeaders[endpoint.dialect] ?? 'x-request-id', call.requestId);
  if (endpoint.dialect === 'bedrock' && reply.status >= 400)
    reply.headers.push('x-amzn-errortype', awsErrorType(reply.status));
  simulation.log.answered(call.seq, reply.status);
  deliver(simulation.clock, call, reply);
}

const requestIdHeaders: Partial<Record<Dialect, string>> = {
  anthropic: 'request-id',
  bedrock: 'x-amzn-requestid',
};

/** What goes wrong in the simulator itself must neither end it nor pass for an answer: it is 500 and in the log. */
function decideSafely(simulation: Simulation, endpoint: Endpoint, call: Call, pathFields: JsonObject): Reply {
  try {
    return decideReply(simulation, endpoint, call, pathFields);
  } catch (error) {
    simulation.log.faulted(call.seq, 'simulator_failed');
    const message = `The simulator failed: ${error instanceof Error ? error.message : String(error)}`;
    return replyError({ status: 500, body: errorBody(endpoint.dialect, 500, message, call.requestId) });
  }
}

function decideReply(simulation: Simulation, endpoint: Endpoint, call: Call, pathFields: JsonObject): Reply {
  const { dialect } = endpoint;
  const { requestId } = call;
  if (call.key === undefined || !simulation.acceptsKey(call.key) || !isProved(call)) {
    return replyError(unauthorized(dialect, call.key, requestId));
  }
  let prompt: Prompt;
  try {
    prompt = readPrompt(endpoint, call.body, pathFields);
  } catch (error) {
    if (!(error instanceof InvalidRequest)) throw error;
    return replyError(invalidRequest(dialect, error.message, error.param, requestId));
  }
  simulation.log.demanded(call.seq, prompt.model, prompt.inputTokens, prompt.maxTokens);
  if (prompt.model.startsWith('no-such')) return replyError(unknownModel(dialect, prompt.model, requestId));
  if (!endpoint.generation) return goodReply(simulation, endpoint, call, prompt, undefined, []);
  return admittedReply(simulation, endpoint, call, prompt);
}

/** Whoever signs must have signed rightly; keys are proof themselves. */
function isProved({ request, body }: Call): boolean {
  return readSignature(request.headers.authorization) === undefined || isSignedRightly(request, body);
}

function readPrompt(endpoint: Endpoint, body: Buffer, pathFields: JsonObject): Prompt {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body.toString());
  } catch {
    throw new InvalidRequest('We could not parse the JSON body of your request.');
  }
  if (!isObject(parsed)) throw new InvalidRequest('The body must be a JSON object.');
  return endpoint.read({ ...parsed, ...pathFields });
}

/** Asks the limits, and then the faults: a fault happens to a request that the provider has let in. */
function admittedReply(simulation: Simulation, endpoint: Endpoint, call: Call, prompt: Prompt): Reply {
  const nowMs = call.arrivedMs;
  const { model } = prompt;
  const { dialect } = endpoint;
  const decision = simulation.limits.decide(nowMs, call.key ?? '', model, prompt);
  const headersOf = (status: number) =>
    limitHeaders(decision.scopes, { nowMs, status, stream: prompt.stream, tokenCost: tokenCost(prompt) });
  if (decision.refusal) {
    simulation.log.refused(call.seq, decision.refusal.limit.config.dimension);
    const refused = refusalReply(decision.refusal, { dialect, model, requestId: call.requestId, nowMs });
    return replyError(refused, [...headersOf(refused.status), ...refused.headers]);
  }
  call.admitted(decision.admission);
  let fault: Fault | undefined;
  try {
    fault = takeFault(simulation, endpoint, call, prompt);
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof ZodError)) throw error;
    const message = `The fault asked for is wrong: ${error.message}`;
    return replyError(invalidRequest(dialect, message, null, call.requestId));
  }
  if (!fault) return goodReply(simulation, endpoint, call, prompt, undefined, headersOf(200));
  simulation.log.faulted(call.seq, faultName(fault));
  const about = { dialect, model, requestId: call.requestId };
  const reply =
    replacementReply(fault, about, headersOf(fault.status ?? 200)) ??
    goodReply(simulation, endpoint, call, prompt, fault, headersOf(200));
  return bendReply(reply, fault, about);
}

function limitHeaders(scopes: readonly LimitScope[], moment: Parameters<typeof rateHeaders>[1]): string[] {
  return scopes.length === 0 ? [] : rateHeaders(scopes, moment);
}

function tokenCost(prompt: Prompt): number {
  return prompt.inputTokens + (prompt.maxTokens ?? 0);
}

function takeFault(
  simulation: Simulation,
  endpoint: Endpoint,
  call: Call,
  prompt: Prompt,
): Fault | undefined {
  return simulation.faults.take({
    path: endpoint.path,
    model: prompt.model,
    clientRequestId: call.clientRequestId,
    body: call.body,
    parsedBody: prompt.body,
    header: headerOf(call.request, 'x-sim-fault'),
  });
}

/** The names of a fault's fields, as the log shows them. */
function faultName(fault: Fault): string {
  const names = Object.keys(fault).map((name) => (name === 'status' ? `status:${fault.status}` : name));
  return fault.kind ? names.join(',').replace('kind', `kind:${fault.kind}`) : names.join(',');
}

function goodReply(
  simulation: Simulation,
  endpoint: Endpoint,
  call: Call,
  prompt: Prompt,
  fault: Fault | undefined,
  headers: string[],
): Reply {
  const generation = generate(simulation, endpoint, call, prompt, fault);
  const answer = endpoint.answer(prompt, generation, usageFilter(fault));
  const pace = simulation.latency.draw();
  const reply = replyWith(answer, fault?.status ?? 200, headers);
  if (pace.firstByteMs === 0 && pace.perTokenMs === 0) return reply;
  const streamed = reply.contentLength === undefined;
  reply.startMs = pace.firstByteMs + (streamed ? 0 : pace.perTokenMs * answer.outputTokens);
  reply.perPieceMs = pace.perTokenMs;
  return reply;
}

function usageFilter(fault: Fault | undefined): UsageFilter {
  if (fault?.omitUsage) return () => undefined;
  return fault && 'usage' in fault ? () => fault.usage : (usage) => usage;
}

function generate(
  simulation: Simulation,
  endpoint: Endpoint,
  call: Call,
  prompt: Prompt,
  fault: Fault | undefined,
): Generation {
  const { corpus } = simulation;
  const hash = call.bodyHash;
  const id = `${hash.toString(16).padStart(8, '0')}${call.seq.toString(16).padStart(16, '0')}`;
  const toolCall = toolCallFor(prompt, endpoint.dialect, id, fault?.toolCall === true);
  const wanted = toolCall
    ? Math.max(1, Math.ceil(toolCall.argumentsText.length / 4))
    : (fault?.outputTokens ?? corpus.naturalLength(hash));
  // A call's arguments are never cut, because half an object would not be what was asked for.
  const outputTokens = toolCall ? wanted : Math.min(wanted, prompt.maxTokens ?? wanted);
  return {
    id,
    createdS: Math.floor(call.arrivedMs / 1000),
    outputTokens,
    cutShort: outputTokens < wanted,
    toolCall,
    text: () => corpus.words(hash, outputTokens),
    words: () => (toolCall ? inFours(toolCall.argumentsText) : corpus.wordList(hash, outputTokens)),
    vector: (text, dimensions) => corpus.vector(featuresOf(text), dimensions),
  };
}

/** The different words of a text, as far as a vector goes by them. */
function featuresOf(text: string): number[] {
  const words = text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  const different = [...new Set(words)].slice(0, wordsCompared);
  return (different.length > 0 ? different : [text]).map((word) => crc32(word));
}

function inFours(text: string): string[] {
  return text.match(/.{1,4}/gs) ?? [];
}
