import type { FastifyReply, FastifyRequest } from 'fastify';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { Precondition } from './objects/admin-objects.ts';
import type { AdminObject } from './objects/object-view.ts';

const entityTag = /^(?:W\/)?"(\d{1,15})"$/;

/** `If-Match: "<version>"` or `*`, `If-None-Match: *`. @throws SluiceError invalid_header */
export function preconditionOf({ headers }: FastifyRequest): Precondition {
  const { 'if-match': match, 'if-none-match': noneMatch } = headers;
  if (match !== undefined) {
    if (match === '*') return 'exists';
    const [, version] = entityTag.exec(match) ?? [];
    if (version !== undefined) return Number(version);
    throw invalid('if-match', 'give one version, as in "12", or *');
  }
  if (noneMatch === undefined) return undefined;
  if (noneMatch === '*') return 'absent';
  throw invalid('if-none-match', 'give *');
}

const invalid = (header: string, reason: string) =>
  new SluiceError('invalid_header', { fields: { header, reason } });

/** Sends the thing with its version as entity tag. */
export const sendObject = (reply: FastifyReply, object: AdminObject) =>
  reply.header('etag', `"${object.version}"`).send(object);

const namePattern = /^[\x21-\x7e]{1,64}$/;

/** Who makes a change, as the audit names them: whoever has the admin key, and the name they give themselves. */
export function operatorOf({ headers }: FastifyRequest): string {
  const name = headers['x-sluice-operator'];
  if (name === undefined) return 'admin';
  if (typeof name === 'string' && namePattern.test(name)) return `admin: ${name}`;
  throw invalid('x-sluice-operator', 'use up to 64 printable characters without spaces');
}
