import { chmod, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { stringify } from 'yaml';
import { newVirtualKey } from '#shared/tenants/virtual-keys.ts';
import { type AdminClient, findAdmin, openAdmin } from './admin-client.ts';
import type { CliContext, CommonOptions } from './cli-context.ts';
import { usageError } from './cli-error.ts';
import { type KeyEntry, withKey } from './edit-configuration.ts';
import { formatTable } from './table.ts';

interface CreateOptions extends CommonOptions {
  id?: string;
  write?: boolean;
  newTenant?: boolean;
  name?: string;
  team?: string;
  expires?: string;
  models?: string[];
}

interface RevokeOptions extends CommonOptions {
  cancel?: boolean;
}

/** Of a key, enough is shown to tell it from others. */
const shownChars = 10;

/** Keys of a running Sluice are made through its admin API; without one, or with --write, in the configuration file. */
export function addKeysCommand(program: Command, context: CliContext): void {
  const keys = program.command('keys').description('virtual keys of tenants');
  keys
    .command('ls')
    .description('list the keys, without their secrets')
    .action((_options, command: Command) => listKeys(context, command.optsWithGlobals<CommonOptions>()));
  keys
    .command('create')
    .description('make a key; it is shown once')
    .argument('[tenant]', 'who it acts for; asked for when left out')
    .option('--id <name>', 'name of the key in logs (default: key-1, key-2, …)')
    .option('--write', 'add it to the configuration file, whose comments stay')
    .option('--new-tenant', 'the tenant is a new one')
    .option('--name <text>', 'what people call it (running Sluice only)')
    .option('--team <team>', 'team of the tenant it belongs to (running Sluice only)')
    .option('--expires <time>', 'when it ends, as 2027-01-31T00:00:00Z (running Sluice only)')
    .option('--models <names...>', 'models it may call (running Sluice only)')
    .action((tenant: string | undefined, _options, command: Command) =>
      createKey(context, tenant, command.optsWithGlobals<CreateOptions>()),
    );
  keys
    .command('revoke')
    .description('end a key of a running Sluice; it is known by `tenant/key`')
    .argument('<tenant/key>', 'which one')
    .option('--cancel', 'cancel its calls that run and wait, too')
    .action((key: string, _options, command: Command) =>
      revokeKey(context, key, command.optsWithGlobals<RevokeOptions>()),
    );
}

async function listKeys(context: CliContext, options: CommonOptions): Promise<void> {
  const admin = await findAdmin(context, options);
  if (admin) return listRunningKeys(context, admin, options);
  const { json } = options;
  const { customers } = context.loadSettings();
  const found = Object.entries(customers).flatMap(([tenant, { keys }]) =>
    keys.map(({ id, key }) => ({ tenant, id, key: key === '' ? null : `${key.slice(0, shownChars)}…` })),
  );
  const rows = found.map(({ tenant, id, key }) => [tenant, id, key ?? '(made at the start)']);
  context.print(json ? JSON.stringify({ keys: found }) : formatTable(['TENANT', 'ID', 'KEY'], rows));
}

async function listRunningKeys(
  context: CliContext,
  admin: AdminClient,
  { json }: CommonOptions,
): Promise<void> {
  const found = await admin.list('virtual-keys');
  if (json) return context.print(JSON.stringify({ keys: found }));
  const rows = found.map(({ id, settings, source }) => {
    const { prefix, last_four, team, is_active, expires_at } = settings as Record<string, string | undefined>;
    const [tenant, ...name] = id.split('/');
    const state = String(is_active) === 'false' ? 'revoked' : (expires_at ?? 'active');
    return [tenant!, name.join('/'), `${prefix ?? ''}…${last_four ?? ''}`, team ?? '-', state, source];
  });
  context.print(formatTable(['TENANT', 'ID', 'KEY', 'TEAM', 'STATE', 'SOURCE'], rows));
}

async function revokeKey(context: CliContext, id: string, options: RevokeOptions): Promise<void> {
  const admin = await openAdmin(context, options);
  const fields = { is_active: false, ...(options.cancel ? { on_revoke: 'cancel' } : {}) };
  const revoked = await admin.patch('virtual-keys', id, fields);
  context.print(options.json ? JSON.stringify(revoked) : `${id} is revoked.`);
}

/** Makes a key in a running Sluice. */
async function createRunningKey(
  context: CliContext,
  admin: AdminClient,
  givenTenant: string | undefined,
  options: CreateOptions,
): Promise<void> {
  const tenants = (await admin.list('customers')).map(({ id }) => id);
  const tenant = givenTenant ?? (await chooseTenant(context, tenants));
  if (!tenants.includes(tenant) && options.newTenant) await admin.create('customers', { id: tenant });
  const { id, name, team, expires, models } = options;
  const body = { customer: tenant, id, name, team, expires_at: expires, allowed_models: models };
  const made = await admin.createKey(body);
  if (options.json) return context.print(JSON.stringify(made));
  context.print(made.key);
  context.say(`${made.id} is in force. It is not shown again.`);
}

async function createKey(
  context: CliContext,
  givenTenant: string | undefined,
  options: CreateOptions,
): Promise<void> {
  const admin = options.write ? undefined : await findAdmin(context, options);
  if (admin) return createRunningKey(context, admin, givenTenant, options);
  const { customers } = context.loadSettings();
  const tenant = givenTenant ?? (await chooseTenant(context, Object.keys(customers)));
  if (!Object.hasOwn(customers, tenant) && !options.newTenant)
    throw usageError(
      `There is no tenant ${tenant}; there are ${Object.keys(customers).join(', ')}.`,
      'Add --new-tenant to make one.',
    );
  const used = (customers[tenant]?.keys ?? []).map(({ id }) => id);
  if (options.id !== undefined && used.includes(options.id))
    throw usageError(`The tenant ${tenant} already has a key ${options.id}.`);
  const entry = { id: options.id ?? freeId(used), key: newVirtualKey(context.random) };
  if (options.write) await addKey(context, tenant, entry);
  if (options.json)
    return context.print(
      JSON.stringify({ tenant, ...entry, written: options.write ? context.configFile : null }),
    );
  context.print(entry.key);
  if (options.write) {
    context.say(
      `Written to ${context.configFile}; processes that run take it by themselves. It is not shown again.`,
    );
    return;
  }
  context.say(
    `It is not shown again. To use it, add it to ${context.configFile}, or run this with --write:\n`,
  );
  context.say(stringify({ customers: { [tenant]: { keys: [entry] } } }).trimEnd());
}

async function chooseTenant({ watched }: CliContext, tenants: readonly string[]): Promise<string> {
  if (tenants.length === 1) return tenants[0]!;
  if (!watched || !process.stdin.isTTY)
    throw usageError('Say which tenant the key is for.', `There are ${tenants.join(', ')}.`);
  const { isCancel, select } = await import('@clack/prompts');
  const options = tenants.map((value) => ({ value, label: value }));
  const chosen = await select({ message: 'Which tenant is the key for?', options, output: process.stderr });
  if (isCancel(chosen)) throw usageError('No tenant was chosen.');
  return chosen;
}

function freeId(used: readonly string[]): string {
  let number = used.length + 1;
  while (used.includes(`key-${number}`)) number++;
  return `key-${number}`;
}

/** Adds a key to the configuration file: written beside it, read as a start would read it, and only then put in its place. */
async function addKey(context: CliContext, tenant: string, entry: KeyEntry): Promise<void> {
  // A link stays a link.
  const file = await realpath(context.configFile);
  const [text, { mode }] = await Promise.all([readFile(file, 'utf8'), stat(file)]);
  const next = `${file}.${process.pid}`;
  try {
    await writeFile(next, withKey(text, tenant, entry), { mode });
    await chmod(next, mode);
    context.loadSettings(next);
    await rename(next, file);
  } catch (error) {
    await rm(next, { force: true });
    throw error;
  }
}
