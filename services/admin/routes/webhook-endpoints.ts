import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { webhookEvents } from '#shared/contracts/webhook.ts';
import type { EndpointChange, WebhookEndpoint } from '#shared/deliveries/endpoint-store.ts';
import { isEndpointId } from '#shared/deliveries/webhook-ids.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { AdminParts } from '../admin-parts.ts';
import { guarded } from '../plugins/authenticate-admin.ts';
import { operatorOf } from '../preconditions.ts';

const events = z.array(z.enum(webhookEvents)).max(webhookEvents.length);
const newBody = z
  .strictObject({
    customer: z.string(),
    url: z.string(),
    events: events.default([...webhookEvents]).describe('Unset: all.'),
    description: z.string().max(500).default(''),
  })
  .meta({ id: 'NewWebhookEndpoint' });
const changeBody = z
  .strictObject({
    url: z.string().optional(),
    events: events.optional(),
    description: z.string().max(500).optional(),
    status: z.enum(['active', 'paused']).optional(),
  })
  .meta({ id: 'WebhookEndpointChange' });
const listQuery = z.object({ customer: z.string() });
const params = z.object({ customer: z.string(), id: z.string() });
const base = '/admin/webhook-endpoints';

/** Webhook endpoints of customers. They are no settings but records of their own, which callers make for themselves too. */
export function webhookEndpointRoutes(app: FastifyInstance, parts: AdminParts): void {
  const { endpoints, audit, objects } = parts;
  const note = (
    request: FastifyRequest,
    action: string,
    customer: string,
    after: WebhookEndpoint | undefined,
  ) => {
    const id = after?.id ?? (request.params as { id: string }).id;
    const shown = after && toObject(customer, after);
    return audit.note({
      who: operatorOf(request),
      action,
      subject: `webhook-endpoints/${customer}/${id}`,
      after: shown,
    });
  };
  const schema = guarded('webhook-endpoints');
  app.get(base, { schema: { ...schema, querystring: listQuery } }, async (request) => {
    const { customer } = request.query as z.output<typeof listQuery>;
    await objects.read('customers', customer);
    return { object: 'list', data: (await endpoints.list(customer)).map((each) => toObject(customer, each)) };
  });
  app.post(base, { schema: { ...schema, body: newBody } }, async (request, reply) => {
    const { customer, ...wanted } = request.body as z.output<typeof newBody>;
    operatorOf(request);
    await objects.read('customers', customer);
    const { endpoint, secret } = await endpoints.create(customer, wanted);
    await note(request, 'create', customer, endpoint);
    return reply.code(201).send({ ...toObject(customer, endpoint), secret });
  });
  app.get(`${base}/:customer/:id`, { schema: { ...schema, params } }, async (request) => {
    const { customer, id } = await known(request, objects);
    return toObject(customer, await endpoints.read(customer, id));
  });
  app.patch(`${base}/:customer/:id`, { schema: { ...schema, params, body: changeBody } }, async (request) => {
    const { customer, id } = await known(request, objects);
    const changed = await endpoints.change(customer, id, request.body as EndpointChange);
    await note(request, 'change', customer, changed);
    return toObject(customer, changed);
  });
  app.delete(`${base}/:customer/:id`, { schema: { ...schema, params } }, async (request, reply) => {
    const { customer, id } = await known(request, objects);
    await endpoints.delete(customer, id);
    await note(request, 'remove', customer, undefined);
    return reply.code(204).send();
  });
}

/** @throws SluiceError object_not_found or webhook_endpoint_not_found, so that no stranger's text becomes part of a key */
async function known(request: FastifyRequest, objects: AdminParts['objects']) {
  const { customer, id } = request.params as z.output<typeof params>;
  operatorOf(request);
  await objects.read('customers', customer);
  if (!isEndpointId(id)) throw new SluiceError('webhook_endpoint_not_found', { fields: { endpoint: id } });
  return { customer, id };
}

const toObject = (customer: string, endpoint: WebhookEndpoint) => ({
  object: 'webhook_endpoint',
  id: endpoint.id,
  customer,
  url: endpoint.url,
  events: endpoint.events,
  description: endpoint.description,
  status: endpoint.status,
  status_reason: endpoint.reason ?? null,
  created_at: Math.floor(endpoint.createdMs / 1_000),
  waiting: endpoint.open,
  public_key: endpoint.publicKey,
});
