import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';

const amount = z.number().int().positive();
const ceilingNames = ['rpm', 'tpm', 'itpm', 'otpm', 'rpd', 'tpd', 'concurrency'] as const;

const tableSchema = z.strictObject({
  as_of: z.iso.date(),
  rows: z.array(
    z.strictObject({
      provider: z.string().min(1),
      /** As the provider names them; a dated release of a model has its ceilings. */
      models: z.array(z.string().min(1)).min(1),
      source: z.string().min(1),
      tiers: z.record(z.string(), z.partialRecord(z.enum(ceilingNames), amount)),
    }),
  ),
});

type TierCeilings = Partial<Record<(typeof ceilingNames)[number], number>>;

const table = tableSchema.parse(parse(readFileSync(new URL('./tiers.yaml', import.meta.url), 'utf8')));

/** Whether a model of a pool (`prefix*` for all that begin so) is the one of the table, or a dated release of it. */
function isModel(ofPool: string, ofTable: string): boolean {
  if (ofPool.endsWith('*')) return ofTable.startsWith(ofPool.slice(0, -1));
  return (
    ofPool === ofTable || (ofPool.startsWith(`${ofTable}-`) && /^-20\d\d/.test(ofPool.slice(ofTable.length)))
  );
}

const list = (names: Iterable<string>) => [...new Set(names)].join(', ');

/**
 * The published ceilings of a tier for the models of one pool.
 *
 * @throws RangeError that says which tiers are known, or that the models do not share ceilings
 */
export function tierCeilings(tier: string, models: readonly string[]): TierCeilings {
  const rows = table.rows.filter((row) =>
    models.some((model) => row.models.some((known) => isModel(model, known))),
  );
  if (rows.length === 0)
    throw new RangeError(
      `no tier is known for ${list(models)}; config/tiers.yaml knows ${list(table.rows.flatMap((row) => row.models))}`,
    );
  const named = rows.filter(({ tiers }) => Object.hasOwn(tiers, tier));
  if (named.length < rows.length)
    throw new RangeError(
      `there is no tier ${tier} for ${list(models)}; known: ${list(rows.flatMap(({ tiers }) => Object.keys(tiers)))}`,
    );
  const texts = new Set(named.map(({ tiers }) => JSON.stringify(tiers[tier])));
  if (texts.size > 1)
    throw new RangeError(
      `the models of this pool have different ceilings in ${tier} (${list(named.flatMap((row) => row.models))}); give each a pool of its own`,
    );
  return named[0]!.tiers[tier]!;
}
