import { SluiceError } from '#shared/kernel/errors.ts';
import { freeName } from '#shared/peers/names.ts';
import type { KeyMaker } from '../key-maker.ts';
import type { AdminObjects } from './admin-objects.ts';
import type { AdminObject } from './object-view.ts';

export interface NewKey {
  customer: string;
  /** Its name; unset: the nearest to `name`, with a number behind it where that is taken. */
  id?: string | undefined;
  name?: string | undefined;
  /** The key itself, when it comes from elsewhere; unset: one is made. */
  secret?: string | undefined;
  fields: Record<string, unknown>;
}

/** Shorter keys can be guessed. */
const secretMin = 16;
const secretMax = 512;

/** Makes a virtual key of a customer. The key itself is told this once. */
export async function makeKey(
  objects: AdminObjects,
  keys: KeyMaker,
  who: string,
  { customer, id, name, secret = keys.make(), fields }: NewKey,
): Promise<{ made: AdminObject; secret: string }> {
  if (secret.length < secretMin || secret.length > secretMax || !/^[\x21-\x7e]+$/.test(secret)) {
    const reason = `key: use ${secretMin} to ${secretMax} printable characters without spaces`;
    throw new SluiceError('invalid_request', { fields: { reason }, param: 'key' });
  }
  const owner = await objects.read('customers', customer);
  const { customers } = await objects.settings();
  const stored = keys.stored(secret);
  const isKnown = Object.values(customers).some((each) => each.keys.some(keys.isKey(secret)));
  if (isKnown)
    throw new SluiceError('object_exists', { fields: { kind: 'virtual-keys', id: 'with this key' } });
  const taken = new Set(customers[owner.id]!.keys.map((each) => each.id));
  const named = id ?? freeName(name ?? 'key', (each) => taken.has(each), 'key');
  const change = { kind: 'virtual-keys', id: `${owner.id}/${named}`, who } as const;
  const document = { ...(name === undefined ? {} : { name }), ...fields, ...stored };
  return { made: await objects.create(change, document), secret };
}
