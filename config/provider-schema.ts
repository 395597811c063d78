import { z } from 'zod';
import { poolSchema } from './pool-schema.ts';
import { presetNames, withPreset } from './presets.ts';
import { priceFields } from './price-schema.ts';
import { count, milliseconds, name } from './setting-types.ts';

const timeoutsSchema = z
  .strictObject({
    connect_ms: milliseconds(5_000, 100, 60_000, 'Longest wait for a connection to the provider.'),
    headers_ms: milliseconds(600_000, 100, 3_600_000, 'Longest wait for the first byte of an answer.'),
    body_ms: milliseconds(120_000, 100, 3_600_000, 'Longest pause inside an answer.'),
    total_ms: milliseconds(900_000, 100, 7_200_000, 'Longest time one provider request may take.'),
  })
  .prefault({});

/** Part of a path or of a host name. */
const segment = z.string().regex(/^[a-z0-9][a-z0-9.:-]{0,62}$/, 'use letters, digits, dot, colon and dash');

const headerWindow = z.enum(['auto', 'second', 'minute', 'hour', 'day', 'ignore']).default('auto');

const providerObject = z.strictObject({
  preset: z
    .enum(presetNames)
    .optional()
    .describe(
      'What is known of the host, from `config/presets.yaml`: it fills in what is not given here. Unset: that of the dialect.',
    ),
  dialect: z
    .enum(['openai', 'azure', 'anthropic', 'gemini', 'vertex', 'bedrock'])
    .describe('How the provider is spoken to.'),
  base_url: z
    .url({ error: 'give a URL; neither the preset nor the dialect knows one' })
    .describe('Where requests go; the path of the endpoint is appended.'),
  version_path: z
    .string()
    .regex(/^(\/[a-z0-9/_-]*)?$/)
    .optional()
    .describe(
      'What the path of an endpoint begins with at this host instead of `/v1`; may be empty. Unset: `/v1`, unless `base_url` ends in a version already.',
    ),
  api_version: z
    .string()
    .min(1)
    .max(40)
    .optional()
    .describe('`api-version` of Azure OpenAI. Unset: 2024-10-21 for deployments, none under `/openai/v1`.'),
  project: segment.optional().describe('Project at Vertex AI.'),
  location: segment.default('global').describe('Location at Vertex AI.'),
  region: segment.optional().describe('Region of Bedrock; signatures name it.'),
  stream_usage: z
    .enum(['ask', 'always'])
    .default('ask')
    .describe(
      'Whether usage of a stream of OpenAI’s dialect must be asked for with `stream_options`; `always`: it comes by itself, and the host refuses to be asked.',
    ),
  limit_headers: z
    .strictObject({
      requests: headerWindow.describe('Window of the requests that `x-ratelimit-*` headers name.'),
      tokens: headerWindow.describe('The same of tokens.'),
    })
    .prefault({})
    .describe(
      '`auto`: as the header says or its reset tells; `ignore`: it is not about a ceiling of a pool.',
    ),
  credentials: z
    .array(
      z.strictObject({
        id: name.describe('Name of the credential in logs and metrics.'),
        api_key: z
          .string()
          .describe(
            'The key. Empty: the credential does not exist. Vertex AI: the JSON text of an account, `application-default`, or an access token. Bedrock: an API key, or `<access key id>:<secret access key>`, with `:<session token>` if there is one.',
          ),
        weight: z
          .number()
          .positive()
          .max(1_000)
          .default(1)
          .describe('Preference among credentials with equal room.'),
        limit_scope: name
          .optional()
          .describe('Credentials that name the same scope share its ceilings. Unset: a scope of its own.'),
      }),
    )
    .describe('API keys of the provider. Without one it serves nothing.'),
  pools: z.record(name, poolSchema).describe('Pools by name.'),
  ...priceFields,
  timeouts: timeoutsSchema,
  response_max_bytes: count(
    33_554_432,
    1_024,
    268_435_456,
    'Largest answer of the provider in bytes, after decompression.',
  ),
});

const providerFields = providerObject
  .refine(({ dialect, region }) => dialect !== 'bedrock' || region !== undefined, {
    path: ['region'],
    error: 'Bedrock needs the region that signatures name',
  })
  .refine(({ dialect, project }) => dialect !== 'vertex' || project !== undefined, {
    path: ['project'],
    error: 'Vertex AI needs the project that is charged',
  });

/** One provider: where it is, how it is spoken to, its keys and its pools. */
export const providerSchema = z.preprocess(withPreset, providerFields);
