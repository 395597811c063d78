import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { KeyMaker } from '../key-maker.ts';
import type { AdminObjects } from '../objects/admin-objects.ts';
import { makeKey } from '../objects/make-key.ts';
import { guarded } from '../plugins/authenticate-admin.ts';
import { operatorOf } from '../preconditions.ts';

const newKeyBody = z
  .looseObject({
    customer: z.string().describe('For whom the key acts.'),
    id: z.string().optional().describe('Its name in logs. Unset: made of `name`.'),
    name: z.string().optional().describe('What people call it.'),
    key: z.string().optional().describe('A key that callers have already. Unset: one is made.'),
  })
  .meta({ id: 'NewVirtualKey' });

/** `POST /admin/virtual-keys`: the answer tells the key, this once. */
export function keyCreationRoute(app: FastifyInstance, objects: AdminObjects, keys: KeyMaker): void {
  const schema = { ...guarded('virtual-keys'), body: newKeyBody };
  app.post('/admin/virtual-keys', { schema }, async (request, reply) => {
    const { customer, id, name, key, ...fields } = request.body as z.output<typeof newKeyBody>;
    const wanted = { customer, id, name, secret: key, fields };
    const { made, secret } = await makeKey(objects, keys, operatorOf(request), wanted);
    return reply
      .code(201)
      .header('location', `/admin/virtual-keys/${made.id}`)
      .header('etag', `"${made.version}"`)
      .send({ ...made, key: secret });
  });
}
