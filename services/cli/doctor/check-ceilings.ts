import type { Settings } from '#config/schema.ts';
import type { Pool } from '../pool-shape.ts';
import { type Check, ok, warn } from './check.ts';

/** What the provider says may differ from what is configured by this share before it is worth a word. */
const tolerance = 0.02;

/** Whether the ceilings of the configuration are in force, and are what the providers say. */
export function checkCeilings({ providers }: Settings, running: readonly Pool[] | undefined): Check[] {
  return Object.entries(providers)
    .filter(([, { credentials }]) => credentials.length > 0)
    .flatMap(([provider, { pools }]) =>
      Object.entries(pools).map(([pool, { ceilings }]) => {
        const live = running?.find((each) => each.provider === provider && each.pool === pool);
        return checkPool(`ceilings of ${provider}/${pool}`, ceilings, live?.ceilings ?? []);
      }),
    );
}

type Configured = Settings['providers'][string]['pools'][string]['ceilings'];

function checkPool(name: string, { auto, ...configured }: Configured, inForce: Pool['ceilings']): Check {
  const given = new Map(Object.entries(configured).filter(([, amount]) => amount !== undefined));
  if (given.size === 0 && inForce.length === 0)
    return auto
      ? ok(name, 'to be learned from the provider')
      : warn(
          name,
          'none: nothing is held back',
          'Set them, or `ceilings: auto`, or the provider answers 429.',
        );
  const differing = inForce.flatMap(({ name: ceiling, amount, said }) => {
    const real = said ?? amount;
    const own = given.get(ceiling);
    if (own === undefined || auto || Math.abs(real - own) <= tolerance * own) return [];
    return [`${ceiling} ${own}, ${said === undefined ? 'in force' : 'the provider says'} ${real}`];
  });
  if (differing.length > 0)
    return warn(name, differing.join('; '), 'Correct them, or follow the provider with `auto: true`.');
  const shown = inForce.length > 0 ? inForce.map((each) => [each.name, each.amount] as const) : [...given];
  return ok(
    name,
    `${shown.map(([ceiling, amount]) => `${ceiling} ${amount}`).join(', ')}${auto ? ' (auto)' : ''}`,
  );
}
