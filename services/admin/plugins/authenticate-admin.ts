import { hash, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { SluiceError } from '#shared/kernel/errors.ts';

const digest = (key: string) => hash('sha256', key, 'buffer');

function keyOf({ headers }: FastifyRequest): string | undefined {
  if (headers.authorization !== undefined)
    return /^Bearer\s+(\S+)\s*$/i.exec(headers.authorization)?.[1] ?? '';
  const key = headers['x-api-key'];
  return typeof key === 'string' ? key : undefined;
}

/** What the description says of a route that asks for the admin key. */
export const guarded = (tag: string) => ({ tags: [tag], security: [{ admin: [] }] });

/** Lets only the holder of the admin key on. Digests are compared, so neither time nor length tells how near a guess was. */
export function authenticateAdmin(app: FastifyInstance, adminKey: string): void {
  const wanted = digest(adminKey);
  app.addHook('onRequest', async (request) => {
    const key = keyOf(request);
    if (key === undefined) throw new SluiceError('missing_key');
    if (!timingSafeEqual(digest(key), wanted)) throw new SluiceError('invalid_key');
  });
}
