import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { webhookEvents } from '#shared/contracts/webhook.ts';
import type { DeliveryStore } from '#shared/deliveries/delivery-store.ts';
import type { EndpointStore } from '#shared/deliveries/endpoint-store.ts';
import { messageBody } from '#shared/deliveries/message-body.ts';
import {
  defaultEndpointId,
  deliveryIdOf,
  isEndpointId,
  partsOfDelivery,
} from '#shared/deliveries/webhook-ids.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import { newId } from '#shared/kernel/ids.ts';
import { invalidRequest } from '../call-body.ts';
import { readRunAt } from '../call-options.ts';
import {
  recoveryObject,
  toDeliveryObject,
  toEndpointObject,
  webhookDeliveryList,
  webhookDeliveryObject,
  webhookEndpointList,
  webhookEndpointObject,
  webhookEndpointWithSecret,
} from './webhook-objects.ts';

export interface WebhookRouteParts {
  endpoints: EndpointStore;
  deliveries: DeliveryStore;
  clock: Clock;
  settings: { webhooks: { secret_overlap_seconds: number; endpoint_backlog_max: number } };
}

const daySeconds = 86_400;
const url = z.string().describe('Where messages are sent: https, a public address.');
const events = z.array(z.enum(webhookEvents)).max(webhookEvents.length);
const description = z.string().max(500);

const endpointSubmission = z
  .strictObject({
    url,
    events: events
      .default([...webhookEvents])
      .describe('Unset: all. None: only jobs that name the endpoint.'),
    description: description.default(''),
  })
  .meta({ id: 'WebhookEndpointSubmission' });
const endpointChange = z
  .strictObject({
    url: url.optional(),
    events: events.optional(),
    description: description.optional(),
    status: z
      .enum(['active', 'paused'])
      .optional()
      .describe('`paused`: what is meant for it waits. `active`: what waits is sent.'),
  })
  .meta({ id: 'WebhookEndpointChange' });
const rotationQuery = z.object({
  overlap_seconds: z.coerce
    .number()
    .int()
    .min(0)
    .max(30 * daySeconds)
    .optional()
    .describe('How long the old secret signs beside the new one; unset: webhooks.secret_overlap_seconds.'),
});
const recovery = z
  .strictObject({ since: z.union([z.string(), z.int()]).describe('RFC 3339, or seconds since the epoch.') })
  .meta({ id: 'WebhookRecovery' });
const idParams = z.object({ id: z.string() });
const deliveryParams = z.object({ id: z.string(), delivery: z.string() });
const deliveriesQuery = z.object({
  after: z.string().optional().describe('Id of the last delivery of the page before.'),
  limit: z.coerce.number().int().min(1).max(100).default(20),
});

const security = [{ key: [] }];
const tags = ['webhooks'];
/** Deliveries of one recovery listed in one step, and requeued at the same time. */
const [listedTogether, together] = [500, 50];
const base = '/v1/webhook-endpoints';

/** What the webhook routes answer, for the API description. */
export const webhookAnswers: Record<string, Record<number, z.ZodType>> = {
  [`POST ${base}`]: { 201: webhookEndpointWithSecret },
  [`GET ${base}`]: { 200: webhookEndpointList },
  [`GET ${base}/:id`]: { 200: webhookEndpointObject },
  [`PATCH ${base}/:id`]: { 200: webhookEndpointObject },
  [`DELETE ${base}/:id`]: { 200: z.object({ id: z.string(), object: z.string(), deleted: z.boolean() }) },
  [`POST ${base}/:id/rotate-secret`]: { 200: webhookEndpointWithSecret },
  [`POST ${base}/:id/test`]: {
    202: z.object({ object: z.string(), message: z.string(), delivery: z.string() }),
  },
  [`GET ${base}/:id/deliveries`]: { 200: webhookDeliveryList },
  [`POST ${base}/:id/deliveries/:delivery/redeliver`]: { 202: webhookDeliveryObject },
  [`POST ${base}/:id/recover`]: { 202: recoveryObject },
};

export function webhookRoutes(app: FastifyInstance, parts: WebhookRouteParts): void {
  endpointRoutes(app, parts);
  secretRoutes(app, parts);
  deliveryRoutes(app, parts);
}

/** Validated here, so that the error names what is wrong with the body. */
const asIs = () => (value: unknown) => ({ value });

function parsed<T>(schema: z.ZodType<T>, body: unknown): T {
  const result = schema.safeParse(body ?? {});
  if (!result.success) throw invalidRequest(result.error);
  return result.data;
}

function endpointRoutes(root: FastifyInstance, { endpoints }: WebhookRouteParts): void {
  const app = root.withTypeProvider<ZodTypeProvider>();
  const params = idParams;
  app.post(
    base,
    { schema: { tags, security, body: endpointSubmission }, validatorCompiler: asIs },
    async (request, reply) => {
      const wanted = parsed(endpointSubmission, request.body);
      const { endpoint, secret } = await endpoints.create(request.identity.tenant, wanted);
      reply.code(201).header('location', `${base}/${endpoint.id}`);
      return { ...toEndpointObject(endpoint), secret };
    },
  );
  app.get(base, { schema: { tags, security } }, async (request) => ({
    object: 'list',
    data: (await endpoints.list(request.identity.tenant)).map(toEndpointObject),
  }));
  app.get(`${base}/:id`, { schema: { tags, security, params } }, async (request) => {
    const { tenant } = request.identity;
    if (request.params.id === defaultEndpointId) await endpoints.ensureDefault(tenant);
    return toEndpointObject(await endpoints.read(tenant, knownId(request.params.id)));
  });
  app.patch(
    `${base}/:id`,
    { schema: { tags, security, params, body: endpointChange }, validatorCompiler: asIs },
    async (request) => {
      const change = parsed(endpointChange, request.body);
      const id = ownId(request.params.id);
      return toEndpointObject(await endpoints.change(request.identity.tenant, id, change));
    },
  );
  app.delete(`${base}/:id`, { schema: { tags, security, params } }, async (request) => {
    const id = ownId(request.params.id);
    await endpoints.delete(request.identity.tenant, id);
    return { id, object: 'webhook_endpoint', deleted: true };
  });
}

function secretRoutes(root: FastifyInstance, { endpoints, clock, settings }: WebhookRouteParts): void {
  const app = root.withTypeProvider<ZodTypeProvider>();
  app.post(
    `${base}/:id/rotate-secret`,
    { schema: { tags, security, params: idParams, querystring: rotationQuery } },
    async (request) => {
      const { overlap_seconds = settings.webhooks.secret_overlap_seconds } = request.query;
      const { tenant } = request.identity;
      const id = knownId(request.params.id);
      if (id === defaultEndpointId) await endpoints.ensureDefault(tenant);
      const secret = await endpoints.rotateSecret(tenant, id, clock.nowMs() + overlap_seconds * 1_000);
      return { ...toEndpointObject(await endpoints.read(tenant, id)), secret };
    },
  );
}

function deliveryRoutes(root: FastifyInstance, parts: WebhookRouteParts): void {
  const app = root.withTypeProvider<ZodTypeProvider>();
  const { endpoints, deliveries, clock } = parts;
  app.post(`${base}/:id/test`, { schema: { tags, security, params: idParams } }, async (request, reply) => {
    const { tenant } = request.identity;
    const { id } = await endpoints.read(tenant, ownId(request.params.id));
    const message = newId('msg');
    const payload = messageBody('webhook.test', clock.nowMs(), { endpoint: id, message: 'It works.' });
    await deliveries.publish(tenant, {
      id: message,
      type: 'webhook.test',
      payload: payload.toString(),
      target: id,
    });
    return reply.code(202).send({ object: 'webhook_test', message, delivery: deliveryIdOf(message, id) });
  });
  app.get(
    `${base}/:id/deliveries`,
    { schema: { tags, security, params: idParams, querystring: deliveriesQuery } },
    async (request) => {
      const { tenant } = request.identity;
      const { id } = await endpoints.read(tenant, ownId(request.params.id));
      const { after, limit } = request.query;
      const ids = await deliveries.list(tenant, id, after, limit + 1);
      const page = await Promise.all(ids.slice(0, limit).map((each) => deliveries.read(tenant, each)));
      const data = page.filter((delivery) => delivery !== undefined).map(toDeliveryObject);
      return {
        object: 'list',
        data,
        last_id: ids[limit - 1] ?? ids.at(-1) ?? null,
        has_more: ids.length > limit,
      };
    },
  );
  app.post(
    `${base}/:id/deliveries/:delivery/redeliver`,
    { schema: { tags, security, params: deliveryParams } },
    async (request, reply) =>
      reply.code(202).send(await redeliver(parts, request.identity.tenant, request.params)),
  );
  app.post(
    `${base}/:id/recover`,
    { schema: { tags, security, params: idParams, body: recovery }, validatorCompiler: asIs },
    async (request, reply) => {
      const { since } = parsed(recovery, request.body);
      const sinceMs = readRunAt(String(since), 'since', clock.nowMs(), 'body')!;
      const { tenant } = request.identity;
      const { id } = await endpoints.read(tenant, ownId(request.params.id));
      return reply.code(202).send(await recover(parts, tenant, id, sinceMs));
    },
  );
}

async function redeliver(
  { deliveries, settings }: WebhookRouteParts,
  tenant: string,
  { id, delivery: deliveryId }: z.infer<typeof deliveryParams>,
) {
  const notFound = new SluiceError('webhook_delivery_not_found', {
    fields: { delivery: deliveryId },
    param: 'delivery',
  });
  if (partsOfDelivery(deliveryId)?.endpointId !== ownId(id)) throw notFound;
  const answer = await deliveries.requeue(tenant, deliveryId, true);
  if (answer === 'full')
    throw new SluiceError('webhook_backlog_full', {
      fields: { limit: settings.webhooks.endpoint_backlog_max },
    });
  const delivery = answer === 'requeued' ? await deliveries.read(tenant, deliveryId) : undefined;
  if (!delivery) throw notFound;
  return toDeliveryObject(delivery);
}

/** Sends again what has not arrived since then; stops where the endpoint has no more room. */
async function recover({ deliveries }: WebhookRouteParts, tenant: string, endpoint: string, sinceMs: number) {
  let requeued = 0;
  let isFull = false;
  let before = new Set<string>();
  for (let fromMs = sinceMs; !isFull; ) {
    const page = await deliveries.listSince(tenant, endpoint, fromMs, listedTogether);
    // A page begins with the moment at which the one before ended.
    const ids = page.map(({ id }) => id).filter((id) => !before.has(id));
    for (let from = 0; from < ids.length && !isFull; from += together) {
      const some = ids.slice(from, from + together);
      const answers = await Promise.all(some.map((id) => deliveries.requeue(tenant, id, false)));
      requeued += answers.filter((answer) => answer === 'requeued').length;
      isFull = answers.includes('full');
    }
    if (page.length < listedTogether || ids.length === 0) break;
    fromMs = page.at(-1)!.createdMs;
    before = new Set(page.map(({ id }) => id));
  }
  return { object: 'webhook_recovery' as const, endpoint, requeued, complete: !isFull };
}

/** @throws SluiceError webhook_endpoint_not_found for what cannot be an id, so that no stranger's text becomes part of a key */
function ownId(id: string): string {
  if (!isEndpointId(id))
    throw new SluiceError('webhook_endpoint_not_found', { fields: { endpoint: id }, param: 'id' });
  return id;
}

/** Also the endpoint that holds the tenant's own keys. */
const knownId = (id: string) => (id === defaultEndpointId ? id : ownId(id));
