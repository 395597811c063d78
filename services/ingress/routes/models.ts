import type { FastifyInstance, FastifyRequest } from 'fastify';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { IngressParts } from '../ingress-parts.ts';

const epoch = '1970-01-01T00:00:00Z';

interface Entry {
  id: string;
  /** Other names of it. */
  aliases: string[];
  owner: string;
  sluice: object;
}

function toModelObject({ id, owner, sluice }: Entry, anthropic: boolean): Record<string, unknown> {
  if (anthropic) return { type: 'model', id, display_name: id, created_at: epoch, sluice };
  return { id, object: 'model', created: 0, owned_by: owner, sluice };
}

const wantsAnthropic = (request: FastifyRequest) => request.headers['anthropic-version'] !== undefined;

type Parts = Pick<IngressParts, 'models' | 'settings'>;

/** Routes that the key may name and that lead somewhere it may call. */
function routesFor({ models, settings }: Parts, { access }: FastifyRequest): Entry[] {
  return Object.entries(settings.routes).flatMap(([id, { targets, fallbacks }]) => {
    if (!access.allowsRoute(id)) return [];
    const leadsTo = [...targets, ...fallbacks].flatMap(({ model }) => models.placesOf(model));
    const usable = leadsTo.filter((place) => access.allowsPlace(place));
    if (usable.length === 0) return [];
    const names = [...new Set(usable.map(({ provider, model }) => `${provider}/${model}`))];
    return [{ id, aliases: [], owner: 'sluice', sluice: { route: id, targets: names } }];
  });
}

/** A route goes before a model of its name, as it does when it is called. */
function entriesFor(parts: Parts, request: FastifyRequest): Entry[] {
  const routes = routesFor(parts, request);
  const taken = new Set(routes.map(({ id }) => id));
  const places = parts.models.list().filter((place) => request.access.allowsPlace(place));
  const models = places.map(({ model, provider, pool, dialect }) => {
    const sluice = { provider, pool: `${provider}/${pool}`, dialect };
    return { id: model, aliases: [`${provider}/${model}`], owner: provider, sluice };
  });
  return [...routes, ...models.filter(({ id }) => !taken.has(id))];
}

/** What the caller may call, in the shape of the SDK that asks. */
export function modelRoutes(app: FastifyInstance, parts: Parts): void {
  const schema = { tags: ['models'], security: [{ key: [] }] };
  app.get('/v1/models', { schema }, async (request) => {
    const data = entriesFor(parts, request).map((entry) => toModelObject(entry, wantsAnthropic(request)));
    if (!wantsAnthropic(request)) return { object: 'list', data };
    return { data, has_more: false, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null };
  });
  app.get('/v1/models/*', { schema: { ...schema, hide: true } }, async (request) => {
    const name = (request.params as { '*': string })['*'];
    const entry = entriesFor(parts, request).find(({ id, aliases }) => id === name || aliases.includes(name));
    if (!entry)
      throw new SluiceError('model_not_found', {
        fields: { model: name, endpoint: 'any route' },
        param: 'model',
      });
    return toModelObject(entry, wantsAnthropic(request));
  });
}
