import { InvalidRequest, isObject, type JsonObject } from './endpoint.ts';

/** The fields that every dialect shares, each read strictly: a wrong type is a 400, as at the provider. */
export function readModel(body: JsonObject, missing: string): string {
  const { model } = body;
  if (model === undefined) throw new InvalidRequest(missing, 'model');
  if (typeof model !== 'string' || model === '') throw new InvalidRequest('model: must be a string', 'model');
  return model;
}

export function readMessages(body: JsonObject, missing: string): JsonObject[] {
  const { messages } = body;
  if (messages === undefined) throw new InvalidRequest(missing, 'messages');
  if (!Array.isArray(messages) || messages.length === 0) {
    throw new InvalidRequest('messages: must be an array with at least one message', 'messages');
  }
  for (const message of messages as unknown[]) {
    if (!isObject(message) || typeof message.role !== 'string') {
      throw new InvalidRequest('messages: every message needs a role', 'messages');
    }
  }
  return messages as JsonObject[];
}

/** The first of `names` that is present, as a positive whole number. */
export function readMaxTokens(body: JsonObject, names: readonly string[]): number | undefined {
  for (const name of names) {
    const value = body[name];
    if (value === undefined || value === null) continue;
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 1) {
      throw new InvalidRequest(`${name}: must be a whole number of at least 1`, name);
    }
    return value;
  }
  return undefined;
}
