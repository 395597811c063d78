import type { z } from 'zod';
import type { OverlayDocument, OverlayKind } from './overlay-document.ts';

/** A document that cannot be used with the settings as they are. */
export interface RefusedDocument {
  kind: OverlayKind;
  id: string;
  reason: string;
}

/** One thing of the configuration with everything that was changed of it. */
export interface Merge<T> {
  /** Undefined: it does not exist. */
  merged: T | undefined;
  refused: RefusedDocument[];
}

/** Names become part of Redis keys; the same rule as for those of the file. */
const namePattern = /^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$/;

export const refusal = ({ kind, id }: OverlayDocument, reason: string): RefusedDocument => ({
  kind,
  id,
  reason,
});

/** What is wrong, without the value that is: it may be a secret. */
export function reasonOf(error: z.ZodError): string {
  return error.issues
    .map((issue) => {
      const path = issue.path.join('.');
      return path ? `${path}: ${issue.message}` : issue.message;
    })
    .join('; ');
}

/** The parts of an id if it has as many as its kind needs and each is a name; undefined otherwise. */
export function partsOf(id: string, count: 1 | 2): string[] | undefined {
  const parts = id.split('/');
  return parts.length === count && parts.every((part) => namePattern.test(part)) ? parts : undefined;
}
