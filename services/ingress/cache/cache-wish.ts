import type { IncomingHttpHeaders } from 'node:http';
import { z } from 'zod';
import { SluiceError } from '#shared/kernel/errors.ts';

const cacheWords = ['off', 'exact', 'semantic', 'refresh'] as const;
const namespacePattern = /^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$/;

/** A name under which answers are shared within a tenant. */
export const namespaceField = z.string().regex(namespacePattern);

/** What a call says about the cache; what it leaves out is as configured. */
export interface CacheWish {
  /** `refresh`: ask the provider, and keep its answer instead of the one that is kept. */
  mode?: (typeof cacheWords)[number] | undefined;
  ttlSeconds?: number | undefined;
  namespace?: string | undefined;
  threshold?: number | undefined;
  coalesce?: boolean | undefined;
  /** `cache-control: no-cache`: as `refresh`, where the cache is on. */
  fresh?: true;
}

/** The same in the body of `POST /v1/jobs`. */
export const cacheField = z
  .strictObject({
    mode: z.enum(cacheWords).optional(),
    ttl_seconds: z.int().min(1).optional(),
    namespace: namespaceField.optional(),
    threshold: z.number().min(0).max(1).optional(),
  })
  .describe('How the cache of answers is used for this job.');

export function wishOfField(field: z.output<typeof cacheField> | undefined): CacheWish | undefined {
  if (!field) return undefined;
  const { ttl_seconds, ...rest } = field;
  return { ...rest, ttlSeconds: ttl_seconds };
}

function invalid(header: string, reason: string): SluiceError {
  return new SluiceError('invalid_header', { fields: { header, reason }, param: header });
}

/** A header that must have one of some forms; undefined when it is absent. */
function read<T>(
  headers: IncomingHttpHeaders,
  name: string,
  parse: (text: string) => T | undefined,
  reason: string,
): T | undefined {
  const value = headers[name];
  if (value === undefined) return undefined;
  const parsed = typeof value === 'string' ? parse(value.trim()) : undefined;
  if (parsed === undefined) throw invalid(name, reason);
  return parsed;
}

const wordOf = (text: string) => cacheWords.find((word) => word === text.toLowerCase());
const wholeNumber = (text: string) => (/^[1-9]\d{0,8}$/.test(text) ? Number(text) : undefined);
const similarity = (text: string) => (/^(0(\.\d{1,6})?|1(\.0{1,6})?)$/.test(text) ? Number(text) : undefined);
const flags = new Map([
  ['true', true],
  ['false', false],
]);

/** Reads the headers by which a call says how the cache is used for it. @throws SluiceError invalid_header */
export function readCacheWish(headers: IncomingHttpHeaders): CacheWish | undefined {
  const wish: CacheWish = {
    mode: read(headers, 'x-sluice-cache', wordOf, `use ${cacheWords.join(', ')}`),
    ttlSeconds: read(headers, 'x-sluice-cache-ttl', wholeNumber, 'use whole seconds, at least 1'),
    namespace: read(
      headers,
      'x-sluice-cache-namespace',
      (text) => (namespacePattern.test(text) ? text : undefined),
      'use letters, digits, dot, underscore and dash, at most 64',
    ),
    threshold: read(headers, 'x-sluice-cache-threshold', similarity, 'use a number from 0 to 1'),
    coalesce: read(
      headers,
      'x-sluice-coalesce',
      (text) => flags.get(text.toLowerCase()),
      'use true or false',
    ),
  };
  // Whatever else a client puts there means nothing here.
  const control = headers['cache-control']?.toLowerCase() ?? '';
  if (/\bno-store\b/.test(control)) wish.mode = 'off';
  else if (/\bno-cache\b/.test(control)) wish.fresh = true;
  return Object.values(wish).some((value) => value !== undefined) ? wish : undefined;
}
