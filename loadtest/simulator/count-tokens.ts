import { InvalidRequest } from './dialects/endpoint.ts';

const charactersPerToken = 4;
const tokensPerMessage = 3;
const charactersPerImage = 340;
const deepestNesting = 200;

/** The simulator's own count: a quarter of the characters, rounded up, and a few for each message. */
export function countMessages(messages: readonly unknown[], ...others: readonly unknown[]): number {
  let characters = 0;
  for (const message of messages) characters += charactersOf(message, 0);
  for (const other of others) if (other !== undefined) characters += charactersOf(other, 0);
  return Math.ceil(characters / charactersPerToken) + messages.length * tokensPerMessage;
}

/** Tokens of a text, at least one. */
export function countText(text: string): number {
  return Math.max(1, Math.ceil(text.length / charactersPerToken));
}

/** Counts every string in a value, whatever its shape; an image counts as a fixed amount. */
function charactersOf(value: unknown, depth: number): number {
  if (depth > deepestNesting) throw new InvalidRequest('The body is nested too deeply.');
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object' || value === null) return 0;
  if ('content' in value && typeof value.content === 'string') return value.content.length;
  if ('type' in value && typeof value.type === 'string' && value.type.includes('image')) {
    return charactersPerImage;
  }
  let characters = 0;
  for (const [name, part] of Object.entries(value)) {
    if (name !== 'type' && name !== 'role') characters += charactersOf(part, depth + 1);
  }
  return characters;
}
