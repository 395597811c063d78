import type { CallOptions, ReadCall, Schema } from './call.ts';
import { type Fields, isObject, malformed, objectAt, objectsAt, textAt, untranslatable } from './fields.ts';

type FunctionTool = Extract<NonNullable<CallOptions['tools']>[number], { type: 'function' }>;

const noSchema: Schema = { type: 'object', properties: {} };

export function functionTool(
  name: unknown,
  description: unknown,
  schema: unknown,
  param: string,
): FunctionTool {
  return {
    type: 'function',
    name: textAt(name, `${param}.name`),
    ...(typeof description === 'string' ? { description } : {}),
    inputSchema: isObject(schema) ? (schema as Schema) : noSchema,
  };
}

/** OpenAI's tools; `definition` finds the part that differs between its endpoints. */
export function readOpenaiTools(body: Fields, call: ReadCall, definition: (tool: Fields) => unknown): void {
  const tools = objectsAt(body.tools, 'tools').map((tool, index) => {
    const param = `tools.${index}`;
    if (tool.type !== 'function') throw untranslatable(`${param}.type`, 'only functions can be translated');
    const defined = objectAt(definition(tool), `${param}.function`);
    const read = functionTool(defined.name, defined.description, defined.parameters, param);
    return defined.strict === true ? { ...read, strict: true } : read;
  });
  if (tools.length > 0) call.options.tools = tools;
  if (body.parallel_tool_calls === false && tools.length > 0) call.oneTool = 'parallel_tool_calls';
}

/** OpenAI's choice of tool; `definition` finds the part that names one. */
export function readToolChoice(body: Fields, call: ReadCall, definition: (choice: Fields) => unknown): void {
  const choice = body.tool_choice;
  if (choice === undefined || choice === null || !call.options.tools) return;
  if (choice === 'auto' || choice === 'none' || choice === 'required') {
    call.options.toolChoice = { type: choice };
    return;
  }
  const chosen = objectAt(choice, 'tool_choice');
  if (chosen.type === 'allowed_tools') {
    allowTools(chosen, call, definition);
    return;
  }
  if (chosen.type !== 'function') throw untranslatable('tool_choice', 'only functions can be translated');
  const { name } = objectAt(definition(chosen), 'tool_choice.function');
  call.options.toolChoice = { type: 'tool', toolName: textAt(name, 'tool_choice.function.name') };
}

function allowTools(chosen: Fields, call: ReadCall, definition: (choice: Fields) => unknown): void {
  const { tools, mode } = isObject(chosen.allowed_tools) ? chosen.allowed_tools : chosen;
  const allowed = new Set(
    objectsAt(tools, 'tool_choice.tools').map((tool) => objectAt(definition(tool), 'tool_choice.tools').name),
  );
  call.options.tools = call.options.tools!.filter(({ name }) => allowed.has(name));
  call.options.toolChoice = { type: mode === 'required' ? 'required' : 'auto' };
}

const efforts = ['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max'] as const;

export function readEffort(effort: string, param: string, call: ReadCall): void {
  if (!(efforts as readonly string[]).includes(effort)) throw malformed(param, `use ${efforts.join(', ')}`);
  call.options.reasoning = effort as (typeof efforts)[number];
  call.names.reasoning = param;
}
