import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Settings } from '#config/schema.ts';
import { systemRandom } from '#shared/kernel/random.ts';
import { newVirtualKey } from '#shared/tenants/virtual-keys.ts';

const developmentKeyFile = 'development-key';
const adminKeyFile = 'admin-key';
const secretKeyFile = 'secret-key';
const secretKeyBytes = 32;

async function kept(dataDir: string, name: string): Promise<string | undefined> {
  const text = await readFile(join(dataDir, name), 'utf8').catch(() => undefined);
  return text?.trim() || undefined;
}

/** What the data folder keeps under a name, made at the first start, readable by its owner only. */
async function keptOrMade(dataDir: string, name: string, make: () => string): Promise<string> {
  const known = await kept(dataDir, name);
  if (known) return known;
  const made = make();
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  await writeFile(join(dataDir, name), `${made}\n`, { mode: 0o600 });
  return made;
}

/** The key kept in the data folder, if one was made. */
export const keptDevelopmentKey = (dataDir: string) => kept(dataDir, developmentKeyFile);

/** The same for the admin API. */
export const keptAdminKey = (dataDir: string) => kept(dataDir, adminKeyFile);

/** The key of the admin API: that of the settings, or one made at the first start and kept in the data folder. */
export const adminKeyOf = async ({ admin, redis }: Settings): Promise<string> =>
  admin.key ?? (await keptOrMade(redis.data_dir, adminKeyFile, () => newVirtualKey(systemRandom)));

/**
 * The keys that encrypt secrets at rest: those that are configured, then the one that an earlier start made, so that what
 * it sealed still opens; without any, one is made and kept in the data folder.
 */
export async function keptSecretKeys(dataDir: string, configured: readonly string[]): Promise<string[]> {
  const make = () => Buffer.from(systemRandom.bytes(secretKeyBytes)).toString('base64');
  if (configured.length === 0) return [await keptOrMade(dataDir, secretKeyFile, make)];
  const earlier = await kept(dataDir, secretKeyFile);
  return earlier === undefined ? [...configured] : [...configured, earlier];
}

/** The same settings with every empty virtual key replaced by the development key, and a key to show to the user. */
export async function fillEmptyKeys(settings: Settings): Promise<{ settings: Settings; shownKey: string }> {
  const allKeys = Object.values(settings.customers).flatMap(({ keys }) => keys);
  const isEmpty = ({ key, hash }: (typeof allKeys)[number]) => key === '' && hash === undefined;
  if (!allKeys.some(isEmpty)) return { settings, shownKey: allKeys.find(({ key }) => key !== '')?.key ?? '' };
  if (allKeys.filter(isEmpty).length > 1) {
    throw new Error(
      'More than one virtual key is empty in the configuration: only one can be made at the start.',
    );
  }
  const make = () => newVirtualKey(systemRandom);
  const made = await keptOrMade(settings.redis.data_dir, developmentKeyFile, make);
  const customers = Object.entries(settings.customers).map(([tenant, customer]) => {
    const keys = customer.keys.map((each) => (isEmpty(each) ? { ...each, key: made } : each));
    return [tenant, { ...customer, keys }];
  });
  return {
    settings: { ...settings, customers: Object.fromEntries(customers) as Settings['customers'] },
    shownKey: made,
  };
}
