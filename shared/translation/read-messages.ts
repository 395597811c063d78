import type { FilePart, Message, ReadCall, TextPart, ToolNames, ToolResultPart } from './call.ts';
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
import { applyParameters, emptyCall, parametersOf } from './parameters.ts';
import { schemaFormat } from './read-chat.ts';
import { functionTool, readEffort } from './read-tools.ts';
import { readSealed } from './sealed.ts';

/** Takes an Anthropic message out of its dialect. @throws SluiceError not_translatable, invalid_request */
export function readMessages(body: Fields): ReadCall {
  const call = emptyCall();
  const { options } = call;
  applyParameters(parametersOf['/v1/messages'], body, call);
  const system = body.system === undefined ? '' : plainText(body.system, 'system', call);
  if (system !== '') options.prompt.push({ role: 'system', content: system });
  const names: ToolNames = new Map();
  for (const [index, message] of objectsAt(body.messages, 'messages').entries())
    options.prompt.push(...readMessage(message, `messages.${index}`, names, call));
  if (Array.isArray(body.stop_sequences) && body.stop_sequences.length > 0)
    options.stopSequences = textsAt(body.stop_sequences, 'stop_sequences');
  readTools(body, call);
  readThinking(body, call);
  const { user_id: id } = isObject(body.metadata) ? body.metadata : {};
  if (typeof id === 'string') call.user = { id, param: 'metadata.user_id' };
  return call;
}

function plainText(content: unknown, param: string, call: ReadCall): string {
  if (typeof content === 'string') return content;
  return objectsAt(content, param)
    .map((block, index) => {
      noteCache(block, call);
      if (block.type !== 'text') throw untranslatable(`${param}.${index}`, 'only text can stand here');
      return textAt(block.text, `${param}.${index}.text`);
    })
    .join('\n\n');
}

/** Where a prompt may be cached is Anthropic's to know; other providers find out by themselves. */
function noteCache(block: Fields, call: ReadCall): void {
  if (isObject(block.cache_control)) call.dropped.add('cache_control');
}

function readMessage(message: Fields, param: string, names: ToolNames, call: ReadCall): Message[] {
  const { role, content } = message;
  const where = `${param}.content`;
  if (role === 'system') return [{ role, content: plainText(content, where, call) }];
  if (role !== 'user' && role !== 'assistant') throw malformed(`${param}.role`, 'is not a role');
  if (typeof content === 'string') return [{ role, content: [{ type: 'text', text: content }] }];
  const blocks = objectsAt(content, where);
  for (const block of blocks) noteCache(block, call);
  if (role === 'user') return readUser(blocks, where, names, call);
  return [{ role, content: readAnswer(blocks, where, names) }];
}

/** Answers of tools are a turn of their own elsewhere, before what the user says. */
function readUser(blocks: Fields[], param: string, names: ToolNames, call: ReadCall): Message[] {
  const results: ToolResultPart[] = [];
  const said: (TextPart | FilePart)[] = [];
  for (const [index, block] of blocks.entries()) {
    const where = `${param}.${index}`;
    if (block.type === 'tool_result') results.push(readToolResult(block, where, names, call));
    else said.push(readUserBlock(block, where));
  }
  const messages: Message[] = [];
  if (results.length > 0) messages.push({ role: 'tool', content: results });
  if (said.length > 0 || results.length === 0) messages.push({ role: 'user', content: said });
  return messages;
}

function readUserBlock(block: Fields, param: string): TextPart | FilePart {
  if (block.type === 'text') return { type: 'text', text: textAt(block.text, `${param}.text`) };
  if (block.type !== 'image' && block.type !== 'document')
    throw untranslatable(`${param}.type`, 'this kind of content cannot be translated');
  const source = objectAt(block.source, `${param}.source`);
  const title = typeof block.title === 'string' ? block.title : undefined;
  switch (source.type) {
    case 'base64': {
      const mediaType = textAt(source.media_type, `${param}.source.media_type`);
      return inlineFile(mediaType, textAt(source.data, `${param}.source.data`), title);
    }
    case 'url': {
      const kind = block.type === 'image' ? 'image/*' : 'application/pdf';
      return fileOfUrl(textAt(source.url, `${param}.source.url`), kind, `${param}.source.url`, title);
    }
    case 'text':
      return { type: 'text', text: textAt(source.data, `${param}.source.data`) };
    default:
      throw untranslatable(`${param}.source`, 'give the file inline or by its URL');
  }
}

function readToolResult(block: Fields, param: string, names: ToolNames, call: ReadCall): ToolResultPart {
  const toolCallId = textAt(block.tool_use_id, `${param}.tool_use_id`);
  const toolName = names.get(toolCallId);
  if (toolName === undefined) throw malformed(`${param}.tool_use_id`, 'names no tool_use before it');
  return {
    type: 'tool-result',
    toolCallId,
    toolName,
    output: readToolOutput(block, `${param}.content`, call),
  };
}

function readToolOutput(
  { content, is_error }: Fields,
  param: string,
  call: ReadCall,
): ToolResultPart['output'] {
  const type = is_error === true ? 'error-text' : 'text';
  if (content === undefined || content === null) return { type, value: '' };
  if (typeof content === 'string') return { type, value: content };
  const blocks = objectsAt(content, param);
  if (blocks.every((block) => block.type === 'text')) return { type, value: plainText(content, param, call) };
  return { type: 'content', value: blocks.map((block, index) => readUserBlock(block, `${param}.${index}`)) };
}

type AnswerPart = Extract<Message, { role: 'assistant' }>['content'][number];

/** Thinking that nobody can read belongs to the call after it, if it is a seal of ours; else only Anthropic knows it. */
function readAnswer(blocks: Fields[], param: string, names: ToolNames): AnswerPart[] {
  return blocks.flatMap((block, index) => {
    if (block.type === 'redacted_thinking') return [];
    const part = readAnswerBlock(block, `${param}.${index}`, names);
    const before = index > 0 ? blocks[index - 1]! : {};
    const seal = before.type === 'redacted_thinking' ? readSealed(before.data) : undefined;
    return [part.type === 'tool-call' && seal ? { ...part, providerOptions: seal } : part];
  });
}

function readAnswerBlock(block: Fields, param: string, names: ToolNames): AnswerPart {
  switch (block.type) {
    case 'text':
      return { type: 'text', text: textAt(block.text, `${param}.text`) };
    case 'tool_use': {
      const toolCallId = textAt(block.id, `${param}.id`);
      const toolName = textAt(block.name, `${param}.name`);
      names.set(toolCallId, toolName);
      return { type: 'tool-call', toolCallId, toolName, input: block.input ?? {} };
    }
    case 'thinking': {
      const providerOptions = readSealed(block.signature);
      const text = textAt(block.thinking, `${param}.thinking`);
      return { type: 'reasoning', text, ...(providerOptions ? { providerOptions } : {}) };
    }
    default:
      throw untranslatable(`${param}.type`, 'this kind of content cannot be translated');
  }
}

function readTools(body: Fields, call: ReadCall): void {
  const tools = objectsAt(body.tools, 'tools').map((tool, index) => {
    const param = `tools.${index}`;
    noteCache(tool, call);
    if (tool.type !== undefined && tool.type !== null && tool.type !== 'custom')
      throw untranslatable(`${param}.type`, 'the tools of a provider are its own');
    const read = functionTool(tool.name, tool.description, tool.input_schema, param);
    return tool.strict === true ? { ...read, strict: true } : read;
  });
  if (tools.length === 0) return;
  call.options.tools = tools;
  if (body.tool_choice === undefined || body.tool_choice === null) return;
  const choice = objectAt(body.tool_choice, 'tool_choice');
  if (choice.disable_parallel_tool_use === true) call.oneTool = 'tool_choice.disable_parallel_tool_use';
  if (choice.type === 'tool')
    call.options.toolChoice = { type: 'tool', toolName: textAt(choice.name, 'tool_choice.name') };
  else if (choice.type === 'any') call.options.toolChoice = { type: 'required' };
  else if (choice.type === 'auto' || choice.type === 'none') call.options.toolChoice = { type: choice.type };
  else throw malformed('tool_choice.type', 'use auto, any, tool or none');
}

/** Budgets from which thinking counts as medium and high, tokens: half way, on a scale of powers, of what SDKs send. */
const mediumBudget = 4_096;
const highBudget = 16_384;

function readThinking(body: Fields, call: ReadCall): void {
  const output = isObject(body.output_config) ? body.output_config : {};
  const format = output.format ?? body.output_format;
  if (isObject(format) && format.type === 'json_schema') call.options.responseFormat = schemaFormat(format);
  const { type, budget_tokens: budget } = isObject(body.thinking) ? body.thinking : {};
  if (type === 'disabled') call.options.reasoning = 'none';
  if (type === 'adaptive') call.options.reasoning = 'medium';
  if (type === 'enabled' && typeof budget === 'number') call.options.reasoning = effortOf(budget);
  if (call.options.reasoning) call.names.reasoning = 'thinking';
  if (typeof output.effort === 'string' && type !== 'disabled')
    readEffort(output.effort, 'output_config.effort', call);
}

function effortOf(budget: number): 'low' | 'medium' | 'high' {
  if (budget >= highBudget) return 'high';
  return budget >= mediumBudget ? 'medium' : 'low';
}
