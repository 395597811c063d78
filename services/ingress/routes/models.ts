import type { FastifyInstance, FastifyRequest } from 'fastify';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { IngressParts } from '../ingress-parts.ts';
import type { ModelTable } from '../model-table.ts';

const epoch = '1970-01-01T00:00:00Z';

type Entry = ReturnType<ModelTable['list']>[number];

function toModelObject(
  { model, provider, pool, dialect }: Entry,
  anthropic: boolean,
): Record<string, unknown> {
  const sluice = { provider, pool: `${provider}/${pool}`, dialect };
  if (anthropic) return { type: 'model', id: model, display_name: model, created_at: epoch, sluice };
  return { id: model, object: 'model', created: 0, owned_by: provider, sluice };
}

const wantsAnthropic = (request: FastifyRequest) => request.headers['anthropic-version'] !== undefined;

const allowed = ({ models }: Pick<IngressParts, 'models'>, { access }: FastifyRequest) =>
  models.list().filter((entry) => access.allowsPlace(entry));

/** What the caller may call, in the shape of the SDK that asks. */
export function modelRoutes(app: FastifyInstance, parts: Pick<IngressParts, 'models'>): void {
  const schema = { tags: ['models'], security: [{ key: [] }] };
  app.get('/v1/models', { schema }, async (request) => {
    const data = allowed(parts, request).map((entry) => toModelObject(entry, wantsAnthropic(request)));
    if (!wantsAnthropic(request)) return { object: 'list', data };
    return { data, has_more: false, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null };
  });
  app.get('/v1/models/*', { schema: { ...schema, hide: true } }, async (request) => {
    const name = (request.params as { '*': string })['*'];
    const entry = allowed(parts, request).find(
      ({ model, provider }) => model === name || `${provider}/${model}` === name,
    );
    if (!entry)
      throw new SluiceError('model_not_found', {
        fields: { model: name, endpoint: 'any route' },
        param: 'model',
      });
    return toModelObject(entry, wantsAnthropic(request));
  });
}
