import type { Message, ReadCall, ToolNames, ToolResultPart } from './call.ts';
import {
  type Fields,
  isObject,
  malformed,
  objectAt,
  objectsAt,
  parsedArguments,
  textAt,
  untranslatable,
} from './fields.ts';
import { fileOfUrl } from './media.ts';
import { applyParameters, emptyCall, parametersOf } from './parameters.ts';
import { readUser, schemaFormat } from './read-chat.ts';
import { readEffort, readOpenaiTools, readToolChoice } from './read-tools.ts';
import { readSealed } from './sealed.ts';

/** Takes an OpenAI response out of its dialect. @throws SluiceError not_translatable, invalid_request */
export function readResponse(body: Fields): ReadCall {
  const call = emptyCall();
  const { options } = call;
  applyParameters(parametersOf['/v1/responses'], body, call);
  if (typeof body.instructions === 'string')
    options.prompt.push({ role: 'system', content: body.instructions });
  readInput(body.input, options.prompt);
  readText(body.text, call);
  readOpenaiTools(body, call, (tool) => tool);
  readToolChoice(body, call, (choice) => choice);
  if (isObject(body.reasoning) && typeof body.reasoning.effort === 'string')
    readEffort(body.reasoning.effort, 'reasoning.effort', call);
  readUser(body, call);
  return call;
}

function readText(text: unknown, call: ReadCall): void {
  if (text === undefined || text === null) return;
  const { format, verbosity } = objectAt(text, 'text');
  if (verbosity !== undefined && verbosity !== null) call.dropped.add('text.verbosity');
  if (!isObject(format)) return;
  if (format.type === 'json_object') call.options.responseFormat = { type: 'json' };
  if (format.type === 'json_schema') call.options.responseFormat = schemaFormat(format);
}

function readInput(input: unknown, prompt: Message[]): void {
  if (typeof input === 'string') {
    prompt.push({ role: 'user', content: [{ type: 'text', text: input }] });
    return;
  }
  const names: ToolNames = new Map();
  for (const [index, item] of objectsAt(input, 'input').entries())
    readItem(item, `input.${index}`, names, prompt);
}

function readItem(item: Fields, param: string, names: ToolNames, prompt: Message[]): void {
  switch (item.type) {
    case undefined:
    case 'message':
      prompt.push(readMessage(item, param));
      return;
    case 'function_call':
      addToAnswer(prompt, readCall(item, param, names));
      return;
    case 'function_call_output':
      prompt.push({ role: 'tool', content: [readOutput(item, param, names)] });
      return;
    case 'reasoning':
      addToAnswer(prompt, ...readReasoning(item));
      return;
    default:
      throw untranslatable(`${param}.type`, 'this kind of item cannot be translated');
  }
}

type Assistant = Extract<Message, { role: 'assistant' }>;

/** Items that follow each other are one turn of the model. */
function addToAnswer(prompt: Message[], ...parts: Assistant['content']): void {
  const last = prompt.at(-1);
  if (last?.role === 'assistant') last.content.push(...parts);
  else prompt.push({ role: 'assistant', content: parts });
}

function readMessage({ role, content }: Fields, param: string): Message {
  const where = `${param}.content`;
  if (role === 'user') return { role, content: readUserContent(content, where) };
  if (role === 'system' || role === 'developer')
    return { role: 'system', content: plainText(content, where) };
  if (role === 'assistant') return { role, content: [{ type: 'text', text: plainText(content, where) }] };
  throw malformed(`${param}.role`, 'is not a role');
}

function plainText(content: unknown, param: string): string {
  if (typeof content === 'string') return content;
  return objectsAt(content, param)
    .map((part, index) => {
      if (part.type === 'refusal') return textAt(part.refusal, `${param}.${index}.refusal`);
      if (part.type !== 'input_text' && part.type !== 'output_text')
        throw untranslatable(`${param}.${index}`, 'only text can stand here');
      return textAt(part.text, `${param}.${index}.text`);
    })
    .join('');
}

type UserContent = Extract<Message, { role: 'user' }>['content'];

function readUserContent(content: unknown, param: string): UserContent {
  if (typeof content === 'string') return [{ type: 'text', text: content }];
  return objectsAt(content, param).map((part, index) => readPart(part, `${param}.${index}`));
}

function readPart(part: Fields, param: string): UserContent[number] {
  if (part.type === 'input_text') return { type: 'text', text: textAt(part.text, `${param}.text`) };
  if (part.file_id !== undefined && part.file_id !== null)
    throw untranslatable(`${param}.file_id`, 'give the file inline');
  if (part.type === 'input_image')
    return fileOfUrl(textAt(part.image_url, `${param}.image_url`), 'image/*', `${param}.image_url`);
  if (part.type !== 'input_file') throw untranslatable(param, 'this kind of content cannot be translated');
  const url = textAt(part.file_data ?? part.file_url, `${param}.file_data`);
  const name = typeof part.filename === 'string' ? part.filename : undefined;
  return fileOfUrl(url, 'application/pdf', `${param}.file_data`, name);
}

function readCall(item: Fields, param: string, names: ToolNames): Assistant['content'][number] {
  const toolCallId = textAt(item.call_id, `${param}.call_id`);
  const toolName = textAt(item.name, `${param}.name`);
  names.set(toolCallId, toolName);
  const input = parsedArguments(textAt(item.arguments ?? '', `${param}.arguments`));
  return { type: 'tool-call', toolCallId, toolName, input };
}

function readOutput(item: Fields, param: string, names: ToolNames): ToolResultPart {
  const toolCallId = textAt(item.call_id, `${param}.call_id`);
  const toolName = names.get(toolCallId);
  if (toolName === undefined) throw malformed(`${param}.call_id`, 'names no call before it');
  const { output } = item;
  if (typeof output === 'string')
    return { type: 'tool-result', toolCallId, toolName, output: { type: 'text', value: output } };
  const value = readUserContent(output, `${param}.output`);
  return { type: 'tool-result', toolCallId, toolName, output: { type: 'content', value } };
}

/** A reasoning item that carries nothing of another provider's own cannot be continued, but its summary can be read. */
function readReasoning({ summary, encrypted_content }: Fields): Assistant['content'] {
  const text = (Array.isArray(summary) ? summary : [])
    .map((part) => (isObject(part) && typeof part.text === 'string' ? part.text : ''))
    .join('\n');
  const providerOptions = readSealed(encrypted_content);
  if (text === '' && !providerOptions) return [];
  return [{ type: 'reasoning', text, ...(providerOptions ? { providerOptions } : {}) }];
}
