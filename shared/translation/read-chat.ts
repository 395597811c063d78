import type { CallOptions, Message, ReadCall, ReasoningPart, Schema, TextPart, ToolNames } from './call.ts';
import {
  type Fields,
  isObject,
  malformed,
  objectAt,
  objectsAt,
  parsedArguments,
  textAt,
  textsAt,
  untranslatable,
} from './fields.ts';
import { fileOfUrl } from './media.ts';
import { applyParameters, emptyCall, parametersOf } from './parameters.ts';
import { readEffort, readOpenaiTools, readToolChoice } from './read-tools.ts';
import { readSealed } from './sealed.ts';

/** Takes an OpenAI chat completion out of its dialect. @throws SluiceError not_translatable, invalid_request */
export function readChat(body: Fields): ReadCall {
  const call = emptyCall();
  const { options } = call;
  applyParameters(parametersOf['/v1/chat/completions'], body, call);
  const names: ToolNames = new Map();
  options.prompt = objectsAt(body.messages, 'messages').map((message, index) =>
    readMessage(message, `messages.${index}`, names),
  );
  const max = body.max_completion_tokens ?? body.max_tokens;
  if (typeof max === 'number') options.maxOutputTokens = max;
  readStop(body.stop, call);
  options.responseFormat = readResponseFormat(body.response_format);
  readOpenaiTools(body, call, (tool) => tool.function);
  readToolChoice(body, call, (choice) => choice.function);
  if (typeof body.reasoning_effort === 'string') readEffort(body.reasoning_effort, 'reasoning_effort', call);
  readUser(body, call);
  return call;
}

/** Shared with completions. */
export function readStop(stop: unknown, call: ReadCall): void {
  if (stop === undefined || stop === null) return;
  const sequences = typeof stop === 'string' ? [stop] : textsAt(stop, 'stop');
  if (sequences.length > 0) call.options.stopSequences = sequences;
  call.names.stopSequences = 'stop';
}

/** Whom OpenAI's callers name: the later name of the parameter goes first. */
export function readUser(body: Fields, call: ReadCall): void {
  const param = typeof body.safety_identifier === 'string' ? 'safety_identifier' : 'user';
  const id = body[param];
  if (typeof id === 'string') call.user = { id, param };
}

function readResponseFormat(format: unknown): CallOptions['responseFormat'] {
  if (format === undefined || format === null) return undefined;
  const { type, json_schema } = objectAt(format, 'response_format');
  if (type === 'json_object') return { type: 'json' };
  if (type !== 'json_schema') return undefined;
  return schemaFormat(objectAt(json_schema, 'response_format.json_schema'));
}

/** A named schema, as chat and responses both define it. */
export function schemaFormat({ name, description, schema }: Fields): CallOptions['responseFormat'] {
  return {
    type: 'json',
    ...(isObject(schema) ? { schema: schema as Schema } : {}),
    ...(typeof name === 'string' ? { name } : {}),
    ...(typeof description === 'string' ? { description } : {}),
  };
}

function readMessage(message: Fields, param: string, names: ToolNames): Message {
  switch (message.role) {
    case 'system':
    case 'developer':
      return { role: 'system', content: plainText(message.content, `${param}.content`) };
    case 'user':
      return { role: 'user', content: readUserContent(message.content, `${param}.content`) };
    case 'assistant':
      return readAssistant(message, param, names);
    case 'tool':
      return readToolAnswer(message, param, names);
    case 'function':
      throw untranslatable(`${param}.role`, 'use tools instead of functions');
    default:
      throw malformed(`${param}.role`, 'is not a role');
  }
}

/** The text of a content that may hold nothing else. */
function plainText(content: unknown, param: string): string {
  if (typeof content === 'string') return content;
  return objectsAt(content, param)
    .map((part, index) => {
      if (part.type === 'refusal') return textAt(part.refusal, `${param}.${index}.refusal`);
      if (part.type !== 'text') throw untranslatable(`${param}.${index}`, `only text can stand here`);
      return textAt(part.text, `${param}.${index}.text`);
    })
    .join('');
}

type UserContent = Extract<Message, { role: 'user' }>['content'];

function readUserContent(content: unknown, param: string): UserContent {
  if (typeof content === 'string') return [{ type: 'text', text: content }];
  return objectsAt(content, param).map((part, index) => readUserPart(part, `${param}.${index}`));
}

function readUserPart(part: Fields, param: string): UserContent[number] {
  if (part.type === 'text') return { type: 'text', text: textAt(part.text, `${param}.text`) };
  if (part.type === 'image_url') {
    const image = objectAt(part.image_url, `${param}.image_url`);
    return fileOfUrl(textAt(image.url, `${param}.image_url.url`), 'image/*', `${param}.image_url.url`);
  }
  if (part.type === 'file') return readFile(objectAt(part.file, `${param}.file`), `${param}.file`);
  if (part.type === 'input_audio') throw untranslatable(param, 'audio cannot be translated');
  throw untranslatable(param, 'this kind of content cannot be translated');
}

function readFile({ file_data, filename, file_id }: Fields, param: string): UserContent[number] {
  if (file_id !== undefined) throw untranslatable(`${param}.file_id`, 'give the file inline');
  const name = typeof filename === 'string' ? filename : undefined;
  return fileOfUrl(textAt(file_data, `${param}.file_data`), 'application/pdf', `${param}.file_data`, name);
}

function readAssistant(message: Fields, param: string, names: ToolNames): Message {
  if (message.function_call) throw untranslatable(`${param}.function_call`, 'use tool_calls');
  if (message.audio) throw untranslatable(`${param}.audio`, 'audio cannot be translated');
  const text =
    message.content === null || message.content === undefined
      ? ''
      : plainText(message.content, `${param}.content`);
  const refusal = typeof message.refusal === 'string' ? message.refusal : '';
  const said: TextPart[] = text + refusal === '' ? [] : [{ type: 'text', text: text + refusal }];
  const calls = objectsAt(message.tool_calls, `${param}.tool_calls`).map((call, index) =>
    readToolCall(call, `${param}.tool_calls.${index}`, names),
  );
  return { role: 'assistant', content: [...readReasoning(message), ...said, ...calls] };
}

/** What other providers' reasoning came back as; see `sealed.ts`. */
function readReasoning({ reasoning_details, reasoning_content }: Fields): ReasoningPart[] {
  if (Array.isArray(reasoning_details)) {
    const parts = reasoning_details.filter(isObject).map(({ text, signature }) => {
      const providerOptions = readSealed(signature);
      return {
        type: 'reasoning' as const,
        text: typeof text === 'string' ? text : '',
        ...(providerOptions ? { providerOptions } : {}),
      };
    });
    if (parts.length > 0) return parts;
  }
  if (typeof reasoning_content !== 'string' || reasoning_content === '') return [];
  return [{ type: 'reasoning', text: reasoning_content }];
}

function readToolCall(call: Fields, param: string, names: ToolNames) {
  if (call.type !== undefined && call.type !== 'function')
    throw untranslatable(`${param}.type`, 'only functions can be translated');
  const called = objectAt(call.function, `${param}.function`);
  const toolCallId = textAt(call.id, `${param}.id`);
  const toolName = textAt(called.name, `${param}.function.name`);
  names.set(toolCallId, toolName);
  const input = parsedArguments(textAt(called.arguments ?? '', `${param}.function.arguments`));
  const seal = isObject(call.extra_content) ? readSealed(call.extra_content.sluice) : undefined;
  return {
    type: 'tool-call' as const,
    toolCallId,
    toolName,
    input,
    ...(seal ? { providerOptions: seal } : {}),
  };
}

function readToolAnswer(message: Fields, param: string, names: ToolNames): Message {
  const toolCallId = textAt(message.tool_call_id, `${param}.tool_call_id`);
  const toolName = names.get(toolCallId);
  if (toolName === undefined) throw malformed(`${param}.tool_call_id`, 'names no tool call before it');
  const value = plainText(message.content, `${param}.content`);
  return {
    role: 'tool',
    content: [{ type: 'tool-result', toolCallId, toolName, output: { type: 'text', value } }],
  };
}
