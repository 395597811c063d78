import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { KeyScope } from '#config/customer-schema.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { KeyAccess } from '#shared/tenants/key-access.ts';
import {
  type Identity,
  mayUse,
  refuseEnded,
  type VirtualKey,
  type VirtualKeys,
} from '#shared/tenants/virtual-keys.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who calls; set before any handler of an authenticated route runs. */
    identity: Identity;
    /** What the caller may call. */
    access: KeyAccess;
  }
}

export interface AuthenticateParts {
  /** As of now: read it for each call. */
  readonly virtualKeys: VirtualKeys;
  clock: Clock;
}

/** Headers that may hold the key, beside `authorization`: of Anthropic, Azure, Google and Bifrost. */
const keyHeaders = ['x-api-key', 'api-key', 'x-goog-api-key', 'x-bf-vk'];

/** The key in whichever place the SDKs put it; in the query only where Google's have it. */
function keyOf(request: FastifyRequest): string | undefined {
  const { authorization } = request.headers;
  if (authorization !== undefined) return /^Bearer\s+(\S+)\s*$/i.exec(authorization)?.[1] ?? '';
  for (const name of keyHeaders) {
    const value = request.headers[name];
    if (typeof value === 'string') return value;
  }
  const { key } = (request.query ?? {}) as { key?: unknown };
  return request.url.startsWith('/v1beta/') && typeof key === 'string' ? key : undefined;
}

type Redeem = (ticket: string) => Promise<Pick<Identity, 'tenant' | 'keyId'> | undefined>;

async function findKey(
  { virtualKeys }: AuthenticateParts,
  request: FastifyRequest,
  redeem: Redeem | undefined,
): Promise<VirtualKey> {
  const text = keyOf(request);
  const { ticket } = (request.query ?? {}) as { ticket?: unknown };
  if (text === undefined && redeem && typeof ticket === 'string') {
    const holder = await redeem(ticket);
    // A ticket is worth no more than the key it was made with.
    const key = holder && virtualKeys.ofIdentity(holder);
    if (!key) throw new SluiceError('invalid_ticket');
    return key;
  }
  if (text === undefined) throw new SluiceError('missing_key');
  const key = virtualKeys.find(text);
  if (!key) throw new SluiceError('invalid_key');
  return key;
}

/**
 * Identifies the caller of every route of `app` by its virtual key, before the body is read, and refuses keys that may
 * not be used: at all, from where the call comes, or for these routes. With `redeem` a caller without a key may show a
 * ticket instead.
 */
export function authenticate(
  app: FastifyInstance,
  parts: AuthenticateParts,
  scope: KeyScope | 'any',
  redeem?: Redeem,
): void {
  app.decorateRequest('identity');
  app.decorateRequest('access');
  app.addHook('onRequest', async (request) => {
    const key = await findKey(parts, request, redeem);
    refuseEnded(key, parts.clock.nowMs());
    if (!key.access.allowsAddress(request.ip))
      throw new SluiceError('ip_blocked', { fields: { address: request.ip } });
    if (scope !== 'any' && !mayUse(key, scope)) throw new SluiceError('wrong_scope', { fields: { scope } });
    request.identity = key.identity;
    request.access = key.access;
  });
}
