import { type Dialect, isObject, type JsonObject, type Prompt, type ToolCall } from './dialects/endpoint.ts';

const askedFor = /\b(call|use) the tool\b/i;
const deepest = 8;

/**
 * The tool call that a prompt asks for, or undefined: when the choice of tool forces one, when the last message
 * says "call the tool" or "use the tool", or when `forced` by a fault.
 */
export function toolCallFor(
  prompt: Prompt,
  dialect: Dialect,
  id: string,
  forced: boolean,
): ToolCall | undefined {
  const { tools, tool_choice: choice } = prompt.body;
  if (!Array.isArray(tools) || tools.length === 0) return undefined;
  if (!forced && !isForced(choice) && !isAskedFor(prompt.body)) return undefined;
  const functions = (tools as unknown[]).filter(isObject).map((tool) => functionOf(tool, dialect));
  const wanted = wantedName(choice);
  const tool = functions.find(({ name }) => name === wanted) ?? functions[0];
  if (!tool) return undefined;
  return { id, name: tool.name, argumentsText: JSON.stringify(exampleOf(tool.schema, 0)) };
}

function isForced(choice: unknown): boolean {
  if (choice === 'required') return true;
  return isObject(choice) && choice.type !== 'auto' && choice.type !== 'none';
}

function isAskedFor(body: JsonObject): boolean {
  const messages = body.messages ?? body.input;
  if (typeof messages === 'string') return askedFor.test(messages);
  const last: unknown = Array.isArray(messages) ? messages.at(-1) : undefined;
  // A tool's result is the answer to an earlier call; asking again would never end.
  if (!isObject(last) || last.role !== 'user') return false;
  return askedFor.test(typeof last.content === 'string' ? last.content : JSON.stringify(last.content));
}

function wantedName(choice: unknown): unknown {
  if (!isObject(choice)) return undefined;
  return isObject(choice.function) ? choice.function.name : choice.name;
}

function functionOf(tool: JsonObject, dialect: Dialect): { name: string; schema: unknown } {
  const definition = isObject(tool.function) ? tool.function : tool;
  const schema = dialect === 'anthropic' ? definition.input_schema : definition.parameters;
  return { name: String(definition.name), schema };
}

/** A value that satisfies the usual parts of a JSON schema. */
function exampleOf(schema: unknown, depth: number): unknown {
  if (!isObject(schema) || depth > deepest) return {};
  if (Array.isArray(schema.enum)) return schema.enum[0];
  switch (schema.type) {
    case 'string':
      return 'river';
    case 'integer':
    case 'number':
      return typeof schema.minimum === 'number' ? schema.minimum : 1;
    case 'boolean':
      return true;
    case 'array':
      return [exampleOf(schema.items, depth + 1)];
    default: {
      const properties = isObject(schema.properties) ? Object.entries(schema.properties) : [];
      return Object.fromEntries(properties.map(([name, part]) => [name, exampleOf(part, depth + 1)]));
    }
  }
}
