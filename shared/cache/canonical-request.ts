import { hash } from 'node:crypto';
import type { JobRequest } from '#shared/contracts/job.ts';

type Fields = Record<string, unknown>;

/** What changes how a call is answered or accounted for, but not the answer; the model is named beside the body. */
const ignoredFields: ReadonlySet<string> = new Set(['model', 'stream', 'stream_options', 'user', 'metadata']);

/** Below these the order of keys counts: models write the fields of a schema in the order in which it names them. */
const orderedBelow: ReadonlySet<string> = new Set([
  'parameters',
  'input_schema',
  'output_schema',
  'schema',
  'parametersJsonSchema',
  'response_schema',
  'responseSchema',
  'responseJsonSchema',
]);

/** JSON text that is the same for values that differ only in the order of their keys. */
export function canonicalText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalText).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value)
    .toSorted(([left], [right]) => (left < right ? -1 : 1))
    .map(
      ([key, member]) =>
        `${JSON.stringify(key)}:${orderedBelow.has(key) ? JSON.stringify(member) : canonicalText(member)}`,
    );
  return `{${members.join(',')}}`;
}

/** The part of a call that the cache goes by. */
export type CacheableRequest = Pick<JobRequest, 'endpoint' | 'provider' | 'model' | 'body' | 'headers'>;

/** The fields of the body that can change the answer. */
export function answeredFields({ body }: Pick<JobRequest, 'body'>): Fields {
  const all = JSON.parse(body) as Fields;
  return Object.fromEntries(Object.entries(all).filter(([name]) => !ignoredFields.has(name)));
}

/** Digest of a call: the same for two calls that any provider would answer alike. `more` sets further calls apart. */
export function requestDigest(
  { endpoint, provider, model, headers }: CacheableRequest,
  fields: Fields,
  ...more: readonly string[]
): string {
  return hash('sha256', canonicalText([endpoint, provider, model, headers, fields, ...more]), 'hex');
}
