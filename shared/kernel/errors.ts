import { type ErrorCode, errorCatalog } from './error-catalog.ts';
import type { CatalogEntry } from './error-families.ts';

export interface SluiceErrorOptions {
  /** Values for the `{name}` places of the public sentence; part of the public answer. */
  fields?: Record<string, string | number>;
  /** Name of the request parameter at fault, in OpenAI's `error.param`. */
  param?: string;
  /** When the caller may try again, milliseconds from now. Sent as Retry-After and retry-after-ms. */
  retryAfterMs?: number;
  /** What an operator needs to know; logged, never sent. */
  cause?: unknown;
}

/** An error with a row in the catalogue. Whatever else is thrown reaches callers as `internal`. */
export class SluiceError extends Error {
  readonly code: ErrorCode;
  readonly fields: Record<string, string | number>;
  readonly param: string | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, options: SluiceErrorOptions = {}) {
    super(sentenceOf(code, options.fields ?? {}), { cause: options.cause });
    this.name = 'SluiceError';
    this.code = code;
    this.fields = options.fields ?? {};
    this.param = options.param;
    this.retryAfterMs = options.retryAfterMs;
  }

  get entry(): CatalogEntry {
    return errorCatalog[this.code];
  }
}

const maxFieldLength = 300;

/** The public sentence of `code` with its places filled; long values are cut. */
export function sentenceOf(code: ErrorCode, fields: Record<string, string | number>): string {
  return errorCatalog[code].sentence.replaceAll(/\{(\w+)\}/g, (place, name: string) => {
    const value = fields[name];
    if (value === undefined) return place;
    const text = String(value);
    return text.length > maxFieldLength ? `${text.slice(0, maxFieldLength)}…` : text;
  });
}

/** Narrow text of an unknown error, for logs. */
export function describeError(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
