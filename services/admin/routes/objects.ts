import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { OverlayKind } from '#shared/overlay/overlay-document.ts';
import type { AdminObjects, ObjectChange } from '../objects/admin-objects.ts';
import { guarded } from '../plugins/authenticate-admin.ts';
import { operatorOf, preconditionOf, sendObject } from '../preconditions.ts';

type Fields = Record<string, unknown>;

/** To whom things of a kind belong, if to anybody: the first part of their ids. */
export const ownerOfKind = {
  customers: undefined,
  teams: 'customer',
  'virtual-keys': 'customer',
  providers: undefined,
  credentials: 'provider',
  pools: 'provider',
  routes: undefined,
} as const satisfies Record<OverlayKind, 'customer' | 'provider' | undefined>;

const pageMax = 1_000;
const pageQuery = z.object({
  after: z.string().max(200).optional(),
  limit: z.coerce.number().int().min(1).max(pageMax).default(100),
  customer: z.string().max(64).optional(),
  provider: z.string().max(64).optional(),
});

/** Fields of any thing: what they may be is what the configuration file may say, in config/REFERENCE.md. */
export const settingsBody = z.looseObject({}).meta({ id: 'Settings' });

export function idOf(kind: OverlayKind, params: Record<string, string>): string {
  const owner = ownerOfKind[kind];
  return owner === undefined ? params.id! : `${params[owner]}/${params.id}`;
}

const changeOf = (kind: OverlayKind, request: FastifyRequest): ObjectChange => ({
  kind,
  id: idOf(kind, request.params as Record<string, string>),
  who: operatorOf(request),
  precondition: preconditionOf(request),
});

/** Reading, making, changing and taking out of one kind of things; `POST` of keys is elsewhere, as it makes a secret. */
export function objectRoutes(app: FastifyInstance, kind: OverlayKind, objects: AdminObjects): void {
  const owner = ownerOfKind[kind];
  const all = `/admin/${kind}`;
  const one = owner === undefined ? `${all}/:id` : `${all}/:${owner}/:id`;
  const names = z.object({ id: z.string(), ...(owner === undefined ? {} : { [owner]: z.string() }) });
  const schema = { ...guarded(kind), params: names };
  app.get(all, { schema: { ...guarded(kind), querystring: pageQuery } }, async (request) => {
    const { after, limit, customer, provider } = request.query as z.output<typeof pageQuery>;
    const { objects: data, hasMore } = await objects.list(kind, {
      after,
      limit,
      owner: customer ?? provider,
    });
    return { object: 'list', data, last_id: data.at(-1)?.id ?? null, has_more: hasMore };
  });
  app.get(one, { schema }, async (request, reply) =>
    sendObject(reply, await objects.read(kind, changeOf(kind, request).id)),
  );
  app.put(one, { schema: { ...schema, body: settingsBody } }, async (request, reply) =>
    sendObject(reply, await objects.replace(changeOf(kind, request), request.body as Fields)),
  );
  app.patch(one, { schema: { ...schema, body: settingsBody } }, async (request, reply) =>
    sendObject(reply, await objects.patch(changeOf(kind, request), request.body as Fields)),
  );
  app.delete(one, { schema }, async (request, reply) => {
    await objects.remove(changeOf(kind, request));
    return reply.code(204).send();
  });
}

const newBody = z.looseObject({
  id: z.string().describe('Its name.'),
  customer: z.string().optional().describe('To whom teams and keys belong.'),
  provider: z.string().optional().describe('To which provider pools and credentials belong.'),
});

/** `POST /admin/<kind>`: a thing that does not exist yet. */
export function creationRoute(app: FastifyInstance, kind: OverlayKind, objects: AdminObjects): void {
  app.post(`/admin/${kind}`, { schema: { ...guarded(kind), body: newBody } }, async (request, reply) => {
    const { id, document } = newThing(kind, request.body as Fields);
    const made = await objects.create({ kind, id, who: operatorOf(request) }, document);
    return sendObject(reply.code(201).header('location', `/admin/${kind}/${id}`), made);
  });
}

/** The id that a body names, and what else it says. @throws SluiceError invalid_request */
export function newThing(kind: OverlayKind, body: Fields): { id: string; document: Fields } {
  const owner = ownerOfKind[kind];
  const { id, ...rest } = body;
  if (owner === undefined) return { id: String(id), document: rest };
  const { [owner]: of, ...document } = rest;
  if (typeof of !== 'string')
    throw new SluiceError('invalid_request', { fields: { reason: `${owner}: is missing` }, param: owner });
  return { id: `${of}/${String(id)}`, document };
}
