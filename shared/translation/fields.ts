import { SluiceError } from '#shared/kernel/errors.ts';

export type Fields = Record<string, unknown>;

/** A value that no provider of another dialect can be given. */
export function untranslatable(param: string, reason: string): SluiceError {
  return new SluiceError('not_translatable', { fields: { param, reason }, param });
}

/** A value that is wrong in the caller's own dialect. */
export function malformed(param: string, reason: string): SluiceError {
  return new SluiceError('invalid_request', { fields: { reason: `${param}: ${reason}` }, param });
}

export const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export function objectAt(value: unknown, param: string): Fields {
  if (!isObject(value)) throw malformed(param, 'must be an object');
  return value;
}

export function textAt(value: unknown, param: string): string {
  if (typeof value !== 'string') throw malformed(param, 'must be a string');
  return value;
}

export function numberAt(value: unknown, param: string): number {
  if (typeof value !== 'number') throw malformed(param, 'must be a number');
  return value;
}

/** The objects of a list; `undefined` and `null` are an empty one. */
export function objectsAt(value: unknown, param: string): Fields[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw malformed(param, 'must be an array');
  return value.map((each, index) => objectAt(each, `${param}.${index}`));
}

export function textsAt(value: unknown, param: string): string[] {
  if (!Array.isArray(value)) throw malformed(param, 'must be an array of strings');
  return value.map((each, index) => textAt(each, `${param}.${index}`));
}

/** The object that a JSON text stands for; models write broken ones, which must not end the conversation. */
export function parsedArguments(text: string): Fields {
  if (text.trim() === '') return {};
  try {
    const value: unknown = JSON.parse(text);
    if (isObject(value)) return value;
  } catch {
    // Falls through: the text itself is all there is.
  }
  return { arguments: text };
}
