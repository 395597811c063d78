import { z } from 'zod';
import { cachePolicySchema } from './cache-schema.ts';
import { compileRule } from './rule-language.ts';
import { count, milliseconds, name } from './setting-types.ts';

/** What a target may fail of. Each is decided once its retries are used up, but for those that no retry can help. */
export const fallbackConditions = [
  'server',
  'capacity',
  'timeout',
  'unreachable',
  'broken_answer',
  'quota',
  'billing',
  'oversize',
  'context_length',
  'auth',
  'model_missing',
  'breaker_open',
] as const;
export type FallbackCondition = (typeof fallbackConditions)[number];

/** What a call that names fallbacks, or a route that says nothing else, falls back on. */
export const fallbackPreset: FallbackCondition[] = [
  'server',
  'capacity',
  'timeout',
  'unreachable',
  'broken_answer',
  'billing',
  'oversize',
  'context_length',
  'auth',
  'model_missing',
  'breaker_open',
];

const modelName = z.string().min(1).max(300);
const percent = z.number().min(0).max(100);
const targetsMax = 16;

const targetObject = z.strictObject({
  model: modelName.describe('A model, as `provider/model` or by its bare name.'),
  weight: z.number().positive().max(1_000_000).default(1).describe('Share of the calls under `weighted`.'),
  retries: z
    .number()
    .int()
    .min(0)
    .max(99)
    .optional()
    .describe('Retries at this target before the next one. Unset: as the route says.'),
});
const target = z.preprocess((given) => (typeof given === 'string' ? { model: given } : given), targetObject);
const targets = z.array(target).max(targetsMax);

/** Statuses that say that the call itself is wrong: no provider would take it. */
const neverFallBack = new Set([400, 422]);
const statusCode = z
  .int()
  .min(400)
  .max(599)
  .refine((status) => !neverFallBack.has(status), 'a call that is refused as wrong is refused everywhere');

/** Which answers with status 200 count as failures. */
export const qualitySchema = z.strictObject({
  json: z
    .boolean()
    .default(true)
    .describe('Asked for JSON, or for a schema, and the content is none, or does not follow it.'),
  empty: z.boolean().default(true).describe('Neither content nor a tool call.'),
  truncated: z.boolean().default(false).describe('Ended by its length limit.'),
});
export type QualitySettings = z.output<typeof qualitySchema>;

const ruleSchema = z
  .strictObject({
    when: z
      .string()
      .max(2_000)
      .superRefine((text, context) => {
        try {
          compileRule(text);
        } catch (error) {
          context.addIssue({ code: 'custom', message: (error as RangeError).message });
        }
      })
      .describe('Expression (CEL). The first rule that holds decides.'),
    targets: targets.min(1).optional().describe('Targets of such calls, instead of the route’s.'),
    priority: z.int().min(0).max(9).optional().describe('Priority of such calls: 0 first, 9 last.'),
    reject: z.string().min(1).max(200).optional().describe('Such calls are refused with this sentence.'),
  })
  .refine(
    ({ targets, priority, reject }) => targets ?? priority ?? reject,
    'give targets, priority or reject',
  );

export const routeSchema = z.strictObject({
  strategy: z
    .enum(['weighted', 'ordered', 'shortest_wait', 'cost', 'latency'])
    .default('weighted')
    .describe(
      'Which target is first; the others follow it as fallbacks. `shortest_wait`: whose queue would start the call soonest; `cost`: the cheapest at list prices; `latency`: which answered fastest of late.',
    ),
  sticky: z
    .enum(['none', 'request', 'user', 'key', 'tenant'])
    .default('none')
    .describe('Whose calls go to the same target under `weighted`; `request`: the same call.'),
  targets: targets.min(1).describe('Models among which the strategy chooses. A text is short for `model`.'),
  fallbacks: targets.default([]).describe('Models that are tried after the targets, in this order.'),
  on: z
    .array(z.union([z.enum(fallbackConditions), statusCode]))
    .default(fallbackPreset)
    .describe(
      'What the next target is tried on, once the retries are used up; a status code: at once. `quota`: what meets a 429 goes to the next target at once instead of waiting; new calls pass over a pool until the time of its 429 is over, and waiting ones leave it. `breaker_open`: the same for a pool that is left alone after failures, but for one call that probes it.',
    ),
  retries: z
    .number()
    .int()
    .min(0)
    .max(99)
    .optional()
    .describe('Retries at each target before the next one. Unset: `jobs.attempts_max` less one.'),
  wait_over_ms: z
    .number()
    .int()
    .min(100)
    .max(86_400_000)
    .optional()
    .describe(
      'A call that has waited in a pool for this long moves to the next one that takes calls. Unset: never. Milliseconds.',
    ),
  timeout_ms: z
    .number()
    .int()
    .min(100)
    .max(86_400_000)
    .optional()
    .describe('Longest time from acceptance to the end of the last attempt. Unset: none. Milliseconds.'),
  rules: z.array(ruleSchema).max(32).default([]).describe('Rules, tried in order when a call is accepted.'),
  canary: z
    .strictObject({
      model: modelName.describe('Target of the canary.'),
      percent: percent.describe('Share of the calls.'),
      sticky: z.enum(['none', 'user', 'key']).default('user').describe('Whose calls stay on one side.'),
    })
    .optional()
    .describe('Some calls go to another target first.'),
  mirror: z
    .strictObject({
      model: modelName.describe('Target of the copies.'),
      percent: percent.default(100).describe('Share of the calls that are copied.'),
    })
    .optional()
    .describe('Some calls are sent to another target as well, as jobs of their own that nobody awaits.'),
  quality: qualitySchema.optional().describe('Which answers with status 200 count as failures. Unset: none.'),
  cache: cachePolicySchema,
});
export type RouteSettings = z.output<typeof routeSchema>;
export type TargetSettings = RouteSettings['targets'][number];

export const routesSchema = z
  .record(name, routeSchema)
  .default({})
  .describe('Routes by name; a name is used as a model.');

export const routingSchema = z
  .strictObject({
    fallbacks_max: count(8, 0, targetsMax, 'Models a call may name in `fallbacks`.'),
    gauge_ms: milliseconds(
      500,
      50,
      60_000,
      'How often an ingress looks how full the pools are whose routes ask for it.',
    ),
    explore_share: z
      .number()
      .min(0)
      .max(1)
      .default(0.05)
      .describe(
        'Share of calls that `latency` gives to another target than the fastest, so that it stays known.',
      ),
    rule_headers: z
      .array(z.string().regex(/^[a-z0-9-]{1,64}$/, 'use small letters, digits and dashes'))
      .max(32)
      .default([])
      .describe('Headers that rules may read, in small letters.'),
    mirrors_open_max: count(100, 0, 10_000, 'Copies an ingress hands over at once; more are left out.'),
    mirror_depth_share: z
      .number()
      .min(0)
      .max(1)
      .default(0.1)
      .describe('Part of the queue depth of a tenant that may be filled before its copies are left out.'),
    schemas_max: count(200, 1, 10_000, 'JSON schemas a worker keeps compiled to judge answers.'),
    schema_max_bytes: count(
      65_536,
      1_024,
      1_048_576,
      'Largest JSON schema that answers are judged by; by a larger one only whether they are JSON.',
    ),
  })
  .prefault({});

type Served = Record<string, { pools: Record<string, { models: string[] }> }>;

/** A target that no provider serves is a slip of the pen: at run time it would be skipped, and nobody would know. */
export function refuseUnknownTargets(
  { routes, providers }: { routes: Record<string, RouteSettings>; providers: Served },
  context: z.RefinementCtx,
): void {
  const serves = (model: string) => {
    const [provider, ...rest] = model.split('/');
    return isServed(Object.values(providers), model) || isServed([providers[provider!]], rest.join('/'));
  };
  for (const [route, settings] of Object.entries(routes)) {
    for (const [path, model] of modelsOf(settings)) {
      if (serves(model)) continue;
      context.addIssue({
        code: 'custom',
        path: ['routes', route, ...path],
        message: `no provider serves ${model}`,
      });
    }
  }
}

function isServed(providers: readonly (Served[string] | undefined)[], model: string): boolean {
  const models = providers.flatMap((each) => Object.values(each?.pools ?? {}).flatMap((pool) => pool.models));
  return models.some((each) => (each.endsWith('*') ? model.startsWith(each.slice(0, -1)) : each === model));
}

function modelsOf({ targets, fallbacks, rules, canary, mirror }: RouteSettings): [PropertyKey[], string][] {
  const named = (path: PropertyKey[], list: readonly TargetSettings[] = []) =>
    list.map(({ model }, index): [PropertyKey[], string] => [[...path, index], model]);
  return [
    ...named(['targets'], targets),
    ...named(['fallbacks'], fallbacks),
    ...rules.flatMap((rule, index) => named(['rules', index, 'targets'], rule.targets)),
    ...(canary ? [[['canary', 'model'], canary.model] satisfies [PropertyKey[], string]] : []),
    ...(mirror ? [[['mirror', 'model'], mirror.model] satisfies [PropertyKey[], string]] : []),
  ];
}
