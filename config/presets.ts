import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';

type Fields = Record<string, unknown>;

const fields = z.record(z.string(), z.unknown());
const fileSchema = z.strictObject({
  as_of: z.iso.date(),
  presets: z.record(
    z.string(),
    z.looseObject({
      dialect: z.string(),
      /** Settings of each pool. */
      pool: fields.default({}),
      /** `burndown` of pools by their models; the first pattern that one of them matches. */
      burndown: z.array(z.strictObject({ models: z.string(), burndown: z.number() })).default([]),
    }),
  ),
});

const { presets } = fileSchema.parse(parse(readFileSync(new URL('./presets.yaml', import.meta.url), 'utf8')));

export const presetNames = Object.keys(presets);

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** `over` wins; groups are merged field by field. */
function merged(under: Fields, over: Fields): Fields {
  const result: Fields = { ...under };
  for (const [key, value] of Object.entries(over)) {
    const below = under[key];
    result[key] = isFields(value) && isFields(below) ? merged(below, value) : value;
  }
  return result;
}

/** Fills a base URL in; Google's global location has no prefix. */
function placed(baseUrl: unknown, { location = 'global', region }: Fields): unknown {
  if (typeof baseUrl !== 'string') return baseUrl;
  const url = location === 'global' ? baseUrl.replace('{location}-', '') : baseUrl;
  if (url.includes('{region}') && typeof region !== 'string') return undefined;
  return url.replace('{location}', String(location)).replace('{region}', String(region));
}

/**
 * The settings of a provider as given, filled up by its preset: the one it names, or that of its dialect. What is no object
 * or names no preset that exists is left for the schema to refuse.
 */
export function withPreset(given: unknown): unknown {
  if (!isFields(given)) return given;
  const preset = presets[String(given.preset ?? given.dialect)];
  if (!preset) return given;
  const { pool, burndown, ...provider } = preset;
  const filled = merged({ ...provider, base_url: placed(provider.base_url, given) }, given);
  if (!isFields(filled.pools)) return filled;
  const pools = Object.entries(filled.pools).map(([name, each]) => {
    if (!isFields(each)) return [name, each];
    // `ceilings: auto` stands for all of them.
    const { ceilings, ...rest } = pool;
    const under = isFields(each.ceilings ?? {}) && ceilings !== undefined ? { ...rest, ceilings } : rest;
    return [name, merged({ ...under, ...burndownOf(burndown, each.models) }, each)];
  });
  return { ...filled, pools: Object.fromEntries(pools) as Fields };
}

function burndownOf(rules: readonly { models: string; burndown: number }[], models: unknown): Fields {
  const names = Array.isArray(models) ? models.map(String) : [];
  const counts = names.flatMap(
    (name) => rules.find(({ models: pattern }) => new RegExp(pattern).test(name))?.burndown ?? [],
  );
  return counts.length > 0 ? { burndown: Math.max(...counts) } : {};
}
