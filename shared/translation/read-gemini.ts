import type { FilePart, Message, ReadCall, Schema, TextPart, ToolResultPart } from './call.ts';
import {
  type Fields,
  isObject,
  malformed,
  objectAt,
  objectsAt,
  textAt,
  textsAt,
  untranslatable,
} from './fields.ts';
import { fileOfUrl, inlineFile } from './media.ts';
import { applyParameters, emptyCall, generationParameters, parametersOf } from './parameters.ts';
import { functionTool, readEffort } from './read-tools.ts';
import { readSealedBytes } from './sealed.ts';

/** Takes a Gemini call out of its dialect. @throws SluiceError not_translatable, invalid_request */
export function readGemini(body: Fields): ReadCall {
  const call = emptyCall();
  const { options } = call;
  applyParameters(parametersOf['/v1beta/models/{model}:generateContent'], body, call);
  const system = body.systemInstruction ?? body.system_instruction;
  if (system !== undefined && system !== null)
    options.prompt.push({ role: 'system', content: systemText(system) });
  const calls = new CallIds();
  for (const [index, content] of objectsAt(body.contents, 'contents').entries())
    options.prompt.push(...readContent(content, `contents.${index}`, calls));
  readConfig(objectAt(body.generationConfig ?? body.generation_config ?? {}, 'generationConfig'), call);
  readTools(body, call);
  return call;
}

function systemText(system: unknown): string {
  if (typeof system === 'string') return system;
  const { parts } = objectAt(system, 'systemInstruction');
  return objectsAt(parts, 'systemInstruction.parts')
    .map(({ text }, index) => textAt(text, `systemInstruction.parts.${index}.text`))
    .join('\n\n');
}

/** Gemini's calls need no ids: an answer belongs to the first call of its name that has none yet. */
class CallIds {
  readonly #open: { id: string; name: string }[] = [];
  #count = 0;

  called(name: string, id: unknown): string {
    const given = typeof id === 'string' && id !== '' ? id : `call_${this.#count}`;
    this.#count++;
    this.#open.push({ id: given, name });
    return given;
  }

  answered(name: string, id: unknown, param: string): string {
    const at = this.#open.findIndex((each) => (typeof id === 'string' ? each.id === id : each.name === name));
    if (at === -1) throw malformed(param, 'answers no functionCall before it');
    return this.#open.splice(at, 1)[0]!.id;
  }
}

function readContent(content: Fields, param: string, calls: CallIds): Message[] {
  const parts = objectsAt(content.parts, `${param}.parts`);
  const where = (index: number) => `${param}.parts.${index}`;
  if (content.role === 'model') return [readAnswer(parts, where, calls)];
  const results: ToolResultPart[] = [];
  const said: (TextPart | FilePart)[] = [];
  for (const [index, part] of parts.entries()) {
    const answered = part.functionResponse ?? part.function_response;
    if (isObject(answered)) results.push(readResponse(answered, where(index), calls));
    else said.push(readUserPart(part, where(index)));
  }
  const messages: Message[] = [];
  if (results.length > 0) messages.push({ role: 'tool', content: results });
  if (said.length > 0 || results.length === 0) messages.push({ role: 'user', content: said });
  return messages;
}

function readUserPart(part: Fields, param: string): TextPart | FilePart {
  if (typeof part.text === 'string') return { type: 'text', text: part.text };
  const inline = part.inlineData ?? part.inline_data;
  if (isObject(inline)) {
    const mediaType = textAt(inline.mimeType ?? inline.mime_type, `${param}.inlineData.mimeType`);
    return inlineFile(mediaType, textAt(inline.data, `${param}.inlineData.data`));
  }
  const file = part.fileData ?? part.file_data;
  if (!isObject(file)) throw untranslatable(param, 'this kind of part cannot be translated');
  const kind = file.mimeType ?? file.mime_type ?? 'application/octet-stream';
  const url = textAt(file.fileUri ?? file.file_uri, `${param}.fileData.fileUri`);
  return fileOfUrl(url, textAt(kind, `${param}.fileData.mimeType`), `${param}.fileData.fileUri`);
}

function readResponse({ name, id, response }: Fields, param: string, calls: CallIds): ToolResultPart {
  const toolName = textAt(name, `${param}.functionResponse.name`);
  const toolCallId = calls.answered(toolName, id, `${param}.functionResponse`);
  const value = typeof response === 'string' ? response : JSON.stringify(response ?? {});
  return { type: 'tool-result', toolCallId, toolName, output: { type: 'text', value } };
}

function readAnswer(parts: Fields[], where: (index: number) => string, calls: CallIds): Message {
  const content = parts.map((part, index) => {
    const seal = readSealedBytes(part.thoughtSignature ?? part.thought_signature);
    const sealed = seal ? { providerOptions: seal } : {};
    const called = part.functionCall ?? part.function_call;
    if (isObject(called)) {
      const toolName = textAt(called.name, `${where(index)}.functionCall.name`);
      const toolCallId = calls.called(toolName, called.id);
      return { type: 'tool-call' as const, toolCallId, toolName, input: called.args ?? {}, ...sealed };
    }
    const text = textAt(part.text, `${where(index)}.text`);
    return part.thought === true
      ? { type: 'reasoning' as const, text, ...sealed }
      : { type: 'text' as const, text };
  });
  return { role: 'assistant', content };
}

function readConfig(config: Fields, call: ReadCall): void {
  const { options } = call;
  applyParameters(generationParameters, config, call, 'generationConfig.');
  const { stopSequences, responseMimeType, thinkingConfig } = config;
  if (Array.isArray(stopSequences) && stopSequences.length > 0)
    options.stopSequences = textsAt(stopSequences, 'generationConfig.stopSequences');
  const schema = config.responseJsonSchema ?? config.responseSchema;
  if (responseMimeType === 'application/json')
    options.responseFormat = { type: 'json', ...(isObject(schema) ? { schema: jsonSchemaOf(schema) } : {}) };
  else if (responseMimeType !== undefined && responseMimeType !== 'text/plain')
    throw untranslatable('generationConfig.responseMimeType', 'use text/plain or application/json');
  if (isObject(thinkingConfig)) readThinking(thinkingConfig, call);
}

/** Budgets from which thinking counts as medium and high, tokens. */
const mediumBudget = 4_096;
const highBudget = 16_384;

function readThinking({ thinkingBudget: budget, thinkingLevel }: Fields, call: ReadCall): void {
  const param = 'generationConfig.thinkingConfig';
  if (typeof thinkingLevel === 'string')
    readEffort(thinkingLevel.toLowerCase(), `${param}.thinkingLevel`, call);
  else if (budget === 0) readEffort('none', param, call);
  else if (typeof budget === 'number' && budget > 0)
    readEffort(budget >= highBudget ? 'high' : budget >= mediumBudget ? 'medium' : 'low', param, call);
}

/** Deepest schema that is read; bodies are bounded before. */
const deepest = 64;

/** Google writes the types of its schemas in capitals. */
export function jsonSchemaOf(schema: unknown, depth = 0): Schema {
  const read = (value: unknown): unknown => {
    if (Array.isArray(value))
      return value.map((each) => (isObject(each) ? jsonSchemaOf(each, depth + 1) : each));
    return isObject(value) ? jsonSchemaOf(value, depth + 1) : value;
  };
  if (!isObject(schema) || depth > deepest) return {};
  const entries = Object.entries(schema).flatMap(([key, value]): [string, unknown][] => {
    if (key === 'nullable' || key === 'propertyOrdering') return [];
    if (key === 'type' && typeof value === 'string') return [[key, value.toLowerCase()]];
    return [[key, read(value)]];
  });
  return Object.fromEntries(entries) as Schema;
}

function readTools(body: Fields, call: ReadCall): void {
  const tools = objectsAt(body.tools, 'tools').flatMap((tool, index) => {
    const other = Object.keys(tool).find((key) => !/^function_?declarations$/i.test(key));
    if (other !== undefined)
      throw untranslatable(`tools.${index}.${other}`, 'the tools of a provider are its own');
    const param = `tools.${index}.functionDeclarations`;
    return objectsAt(tool.functionDeclarations ?? tool.function_declarations, param).map((each, place) => {
      const schema = each.parametersJsonSchema ?? (each.parameters && jsonSchemaOf(each.parameters));
      return functionTool(each.name, each.description, schema, `${param}.${place}`);
    });
  });
  if (tools.length === 0) return;
  call.options.tools = tools;
  const config = body.toolConfig ?? body.tool_config;
  const calling = isObject(config)
    ? (config.functionCallingConfig ?? config.function_calling_config)
    : undefined;
  if (isObject(calling)) readChoice(calling, call);
}

function readChoice({ mode, allowedFunctionNames }: Fields, call: ReadCall): void {
  const allowed = Array.isArray(allowedFunctionNames) ? new Set<unknown>(allowedFunctionNames) : undefined;
  if (allowed && allowed.size > 0)
    call.options.tools = call.options.tools!.filter(({ name }) => allowed.has(name));
  if (mode === 'ANY') call.options.toolChoice = { type: 'required' };
  if (mode === 'NONE') call.options.toolChoice = { type: 'none' };
  if (mode === 'AUTO') call.options.toolChoice = { type: 'auto' };
}
