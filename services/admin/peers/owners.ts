import { SluiceError } from '#shared/kernel/errors.ts';
import type { AdminObjects } from '../objects/admin-objects.ts';

/** Whom keys and teams belong to that name nobody. */
export const nobodys = 'default';

/** The customer; that of nobody is made when it is needed first. @throws SluiceError object_not_found */
export async function customerOf(objects: AdminObjects, who: string, id = nobodys): Promise<string> {
  try {
    return (await objects.read('customers', id)).id;
  } catch (error) {
    const isMissing = error instanceof SluiceError && error.code === 'object_not_found';
    if (!isMissing || id !== nobodys) throw error;
    return (await objects.replace({ kind: 'customers', id, who }, {})).id;
  }
}

/** A team by its id (`<customer>/<team>`), or by its name where no other customer has one of that name. */
export async function teamOf(
  objects: AdminObjects,
  given: string,
): Promise<{ customer: string; team: string }> {
  const { customers } = await objects.settings();
  const all = Object.entries(customers).flatMap(([customer, { teams }]) =>
    Object.keys(teams).map((team) => ({ customer, team })),
  );
  const found = all.filter(({ customer, team }) => given === `${customer}/${team}` || given === team);
  if (found.length === 1) return found[0]!;
  throw new SluiceError('object_not_found', { fields: { kind: 'teams', id: given }, param: 'team_id' });
}
