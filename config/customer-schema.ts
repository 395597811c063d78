import { z } from 'zod';
import { cachePolicySchema } from './cache-schema.ts';
import { keyDepthFields, quotaFields } from './limit-schema.ts';
import { count, name } from './setting-types.ts';

const daySeconds = 86_400;

/** What a virtual key may be used for: the groups of routes. */
export const keyScopes = ['calls', 'jobs', 'files', 'batches', 'webhooks'] as const;
export type KeyScope = (typeof keyScopes)[number];

const modelPattern = z.string().min(1).max(200);
const modelPatterns = z.array(modelPattern).max(1_000).optional();
const names = z.array(name).max(1_000).optional();
const address = z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()], 'use an IP address or a CIDR range');

/** Who and what may be called; the same on a customer, a team and a key, and all three must allow. */
const accessFields = {
  allowed_providers: names.describe('Providers that may be called. Unset: all.'),
  allowed_models: modelPatterns.describe(
    'Models that may be called, as `model` or `provider/model`; `*` stands for any characters. Unset: all.',
  ),
  allowed_routes: names.describe(
    'Named routes that may be called; their targets must be allowed too. Unset: all.',
  ),
  allowed_ips: z
    .array(address)
    .max(1_000)
    .optional()
    .describe(
      'Addresses that calls may come from, single ones or CIDR ranges. Behind a proxy see `http.trusted_proxies`. Unset: all.',
    ),
};

const providerConfigSchema = z.strictObject({
  provider: name.describe('The provider.'),
  weight: z
    .number()
    .min(0)
    .max(1_000_000)
    .default(1)
    .describe(
      'Share of the calls with a bare model name that several of these providers serve; 0: only when named.',
    ),
  allowed_models: modelPatterns.describe('Models of this provider that the key may call. Unset: all.'),
});

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
  last_four: z.string().max(4).optional().describe('How the key ends; shown likewise.'),
  name: z.string().max(200).optional().describe('What people call the key.'),
  team: name.optional().describe('Team of the customer that the key belongs to.'),
  cache: cachePolicySchema,
  provider_configs: z
    .array(providerConfigSchema)
    .max(100)
    .optional()
    .describe('When given, only these providers may be called, shared by weight.'),
  ...accessFields,
  scopes: z
    .array(z.enum(keyScopes))
    .max(keyScopes.length)
    .optional()
    .describe(
      'What the key may be used for: `calls jobs files batches webhooks`. Unset: everything. Sockets belong to `jobs`.',
    ),
  expires_at: z.iso
    .datetime({ offset: true })
    .nullish()
    .describe('When the key stops being valid, in RFC 3339. Unset: never.'),
  is_active: z.boolean().default(true).describe('false: the key is revoked.'),
  on_revoke: z
    .enum(['finish', 'cancel'])
    .default('finish')
    .describe(
      'What becomes of the calls and batches of a key that is revoked: they `finish`, or are cancelled at once.',
    ),
  ...quotaFields,
  ...keyDepthFields,
});

export const teamSchema = z.strictObject({
  name: z.string().max(200).optional().describe('What people call the team.'),
  ...quotaFields,
  ...accessFields,
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
  ...accessFields,
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
    for (const [index, { key, hash }] of keys.entries()) {
      for (const [field, value] of Object.entries({ key, hash })) {
        if (value === undefined || value === '') continue;
        const owner = owners.get(value) ?? tenant;
        if (owner !== tenant)
          context.addIssue({
            code: 'custom',
            path: [tenant, 'keys', index, field],
            message: `the tenant ${owner} has the same key`,
          });
        owners.set(value, tenant);
      }
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
