import { chmod, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { stringify } from 'yaml';
import type { Settings } from '#config/schema.ts';
import { newVirtualKey } from '#shared/tenants/virtual-keys.ts';
import type { CliContext, CommonOptions } from './cli-context.ts';
import { usageError } from './cli-error.ts';
import { type KeyEntry, withKey } from './edit-configuration.ts';
import { formatTable } from './table.ts';

interface CreateOptions extends CommonOptions {
  id?: string;
  write?: boolean;
  newTenant?: boolean;
}

/** Of a key, enough is shown to tell it from others. */
const shownChars = 10;

// Keys live in the configuration file; what writes them elsewhere one day takes the place of addKey below.
export function addKeysCommand(program: Command, context: CliContext): void {
  const keys = program.command('keys').description('virtual keys of tenants');
  keys
    .command('ls')
    .description('list the keys of the configuration, without their secrets')
    .action((_options, command: Command) => listKeys(context, command.optsWithGlobals<CommonOptions>()));
  keys
    .command('create')
    .description('make a key; it is shown once')
    .argument('[tenant]', 'who it acts for; asked for when left out')
    .option('--id <name>', 'name of the key in logs (default: key-1, key-2, …)')
    .option('--write', 'add it to the configuration file, whose comments stay')
    .option('--new-tenant', 'the tenant is a new one')
    .action((tenant: string | undefined, _options, command: Command) =>
      createKey(context, tenant, command.optsWithGlobals<CreateOptions>()),
    );
}

function listKeys(context: CliContext, { json }: CommonOptions): void {
  const { customers } = context.loadSettings();
  const found = Object.entries(customers).flatMap(([tenant, { keys }]) =>
    keys.map(({ id, key }) => ({ tenant, id, key: key === '' ? null : `${key.slice(0, shownChars)}…` })),
  );
  const rows = found.map(({ tenant, id, key }) => [tenant, id, key ?? '(made at the start)']);
  context.print(json ? JSON.stringify({ keys: found }) : formatTable(['TENANT', 'ID', 'KEY'], rows));
}

async function createKey(
  context: CliContext,
  givenTenant: string | undefined,
  options: CreateOptions,
): Promise<void> {
  const { customers } = context.loadSettings();
  const tenant = givenTenant ?? (await chooseTenant(context, customers));
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

async function chooseTenant({ watched }: CliContext, customers: Settings['customers']): Promise<string> {
  const tenants = Object.keys(customers);
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
