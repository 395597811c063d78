import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Settings } from '#config/schema.ts';

const keyBytes = 24;

/** The key kept in the data folder; made at the first start, readable by its owner only. */
async function developmentKey(dataDir: string): Promise<string> {
  const file = join(dataDir, 'development-key');
  const kept = await readFile(file, 'utf8').catch(() => undefined);
  if (kept) return kept.trim();
  const made = `sk-sl-${randomBytes(keyBytes).toString('base64url')}`;
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  await writeFile(file, `${made}\n`, { mode: 0o600 });
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
