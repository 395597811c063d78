import { z } from 'zod';
import { cachePolicySchema } from './cache-schema.ts';
import { keyDepthFields, quotaFields } from './limit-schema.ts';
import { count, name } from './setting-types.ts';

const daySeconds = 86_400;

/** One virtual key. */
export const keySchema = z.strictObject({
  id: name.describe('Name of the key in logs; unique within the customer.'),
  key: z
    .string()
    .default('')
    .describe('The virtual key. Empty: made at start and kept in the data folder (`npm start` only).'),
  hash: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional()
    .describe('HMAC-SHA-256 of the key, instead of the key.'),
  prefix: z.string().max(32).optional().describe('How the key begins; shown, so that people know it again.'),
  name: z.string().max(200).optional().describe('What people call the key.'),
  team: name.optional().describe('Team of the customer that the key belongs to.'),
  cache: cachePolicySchema,
  ...quotaFields,
  ...keyDepthFields,
});

export const teamSchema = z.strictObject({
  name: z.string().max(200).optional().describe('What people call the team.'),
  ...quotaFields,
});

export const customerSchema = z.strictObject({
  name: z.string().max(200).optional().describe('What people call the customer.'),
  weight: z
    .number()
    .positive()
    .max(1_000_000)
    .default(1)
    .describe('Share of every pool, relative to other tenants.'),
  paused: z
    .boolean()
    .default(false)
    .describe('Whether the calls of this tenant are taken but wait, until this is false again.'),
  concurrency_max: count(
    0,
    0,
    1_000_000,
    'Calls of this tenant that may run at once in one pool; 0: any number.',
  ),
  max_queue_depth: count(100_000, 1, 10_000_000, 'Calls of this tenant that may wait at once.'),
  retention_seconds: z
    .number()
    .int()
    .min(60)
    .max(30 * daySeconds)
    .optional()
    .describe(
      'How long finished jobs of this tenant can be read; an Idempotency-Key is free again when its job is gone. Unset: as `jobs` says. Seconds.',
    ),
  cache: cachePolicySchema,
  ...quotaFields,
  teams: z.record(name, teamSchema).default({}).describe('Teams of the customer by name.'),
  keys: z.array(keySchema).default([]).describe('Virtual keys that act for this tenant.'),
});

export type CustomerSettings = z.output<typeof customerSchema>;

export type KeySettings = z.output<typeof keySchema>;

type Customers = Record<string, CustomerSettings>;

/** A key that two tenants share would let one act, and pay, for the other. */
function refuseSharedKeys(customers: Customers, context: z.RefinementCtx): void {
  const owners = new Map<string, string>();
  for (const [tenant, { keys }] of Object.entries(customers)) {
    for (const [index, { key }] of keys.entries()) {
      const owner = owners.get(key) ?? tenant;
      if (owner !== tenant)
        context.addIssue({
          code: 'custom',
          path: [tenant, 'keys', index, 'key'],
          message: `the tenant ${owner} has the same key`,
        });
      if (key !== '') owners.set(key, tenant);
    }
  }
}

function refuseUnknownTeams(customers: Customers, context: z.RefinementCtx): void {
  for (const [tenant, { keys, teams }] of Object.entries(customers)) {
    for (const [index, { team }] of keys.entries()) {
      if (team !== undefined && !Object.hasOwn(teams, team))
        context.addIssue({
          code: 'custom',
          path: [tenant, 'keys', index, 'team'],
          message: `the tenant has no team ${team}`,
        });
    }
  }
}

export const customersSchema = z
  .record(name, customerSchema)
  .superRefine((customers, context) => {
    refuseSharedKeys(customers, context);
    refuseUnknownTeams(customers, context);
  })
  .describe('Tenants by name.');
