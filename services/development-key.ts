import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Settings } from '#config/schema.ts';
import { systemRandom } from '#shared/kernel/random.ts';
import { newVirtualKey } from '#shared/tenants/virtual-keys.ts';

const fileIn = (dataDir: string) => join(dataDir, 'development-key');

/** The key kept in the data folder, if one was made. */
export async function keptDevelopmentKey(dataDir: string): Promise<string | undefined> {
  const kept = await readFile(fileIn(dataDir), 'utf8').catch(() => undefined);
  return kept?.trim() || undefined;
}

/** The same, made at the first start, readable by its owner only. */
async function developmentKey(dataDir: string): Promise<string> {
  const kept = await keptDevelopmentKey(dataDir);
  if (kept) return kept;
  const made = newVirtualKey(systemRandom);
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  await writeFile(fileIn(dataDir), `${made}\n`, { mode: 0o600 });
  return made;
}

/** The same settings with every empty virtual key replaced by the development key, and a key to show to the user. */
export async function fillEmptyKeys(settings: Settings): Promise<{ settings: Settings; shownKey: string }> {
  const allKeys = Object.values(settings.customers).flatMap(({ keys }) => keys);
  if (allKeys.every(({ key }) => key !== '')) return { settings, shownKey: allKeys[0]!.key };
  if (allKeys.filter(({ key }) => key === '').length > 1) {
    throw new Error(
      'More than one virtual key is empty in the configuration: only one can be made at the start.',
    );
  }
  const made = await developmentKey(settings.redis.data_dir);
  const customers = Object.entries(settings.customers).map(([tenant, customer]) => {
    const keys = customer.keys.map((each) => (each.key === '' ? { ...each, key: made } : each));
    return [tenant, { ...customer, keys }];
  });
  return {
    settings: { ...settings, customers: Object.fromEntries(customers) as Settings['customers'] },
    shownKey: made,
  };
}
