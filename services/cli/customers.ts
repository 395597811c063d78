import type { Command } from 'commander';
import { type AdminObject, openAdmin } from './admin-client.ts';
import type { CliContext, CommonOptions } from './cli-context.ts';
import { usageError } from './cli-error.ts';
import { formatTable } from './table.ts';

interface CustomerOptions extends CommonOptions {
  name?: string;
  weight?: string;
}

const textOf = (value: unknown) =>
  typeof value === 'string' || typeof value === 'number' ? String(value) : '-';

export function addCustomersCommand(program: Command, context: CliContext): void {
  const customers = program.command('customers').description('tenants of a running Sluice');
  const withOptions = (command: Command) => command.optsWithGlobals<CustomerOptions>();
  customers
    .command('ls')
    .description('list them, with their weights')
    .action((_options, command: Command) => listCustomers(context, withOptions(command)));
  customers
    .command('create')
    .argument('<customer>', 'its name')
    .option('--name <text>', 'what people call it')
    .option('--weight <number>', 'share of every pool, relative to others')
    .action(async (id: string, _options, command: Command) => {
      const options = withOptions(command);
      const body = { id, ...fieldsOf(options) };
      await tell(context, options, (await openAdmin(context, options)).create('customers', body));
    });
  customers
    .command('set')
    .argument('<customer>', 'its name')
    .option('--name <text>', 'what people call it')
    .option('--weight <number>', 'share of every pool, relative to others')
    .action(async (id: string, _options, command: Command) => {
      const options = withOptions(command);
      const admin = await openAdmin(context, options);
      await tell(context, options, admin.patch('customers', id, fieldsOf(options)));
    });
  for (const action of ['pause', 'resume']) {
    customers
      .command(action)
      .argument('<customer>', 'its name')
      .action(async (id: string, _options, command: Command) => {
        const options = withOptions(command);
        const path = `tenants/${encodeURIComponent(id)}/${action}`;
        await tell(context, options, (await openAdmin(context, options)).control(path));
      });
  }
  customers
    .command('rm')
    .description('take out what was made while running; what the file says stays')
    .argument('<customer>', 'its name')
    .action(async (id: string, _options, command: Command) => {
      await (await openAdmin(context, withOptions(command))).remove('customers', id);
    });
}

export function addTeamsCommand(program: Command, context: CliContext): void {
  const teams = program.command('teams').description('teams of customers of a running Sluice');
  const withOptions = (command: Command) => command.optsWithGlobals<CustomerOptions>();
  teams
    .command('ls')
    .argument('[customer]', 'only of this one')
    .action(async (customer: string | undefined, _options, command: Command) => {
      const options = withOptions(command);
      const found = await (await openAdmin(context, options)).list('teams', customer);
      const rows = found.map(({ id, settings, source }) => [id, textOf(settings.name), source]);
      context.print(
        options.json ? JSON.stringify({ teams: found }) : formatTable(['TEAM', 'NAME', 'SOURCE'], rows),
      );
    });
  teams
    .command('create')
    .argument('<customer/team>', 'whose, and its name')
    .option('--name <text>', 'what people call it')
    .action(async (given: string, _options, command: Command) => {
      const options = withOptions(command);
      const [customer, id, ...more] = given.split('/');
      if (!id || more.length > 0) throw usageError(`${given}: give customer/team.`);
      const { name } = options;
      const body = { customer, id, ...(name === undefined ? {} : { name }) };
      await tell(context, options, (await openAdmin(context, options)).create('teams', body));
    });
  teams
    .command('rm')
    .argument('<customer/team>', 'whose, and its name')
    .action(async (given: string, _options, command: Command) => {
      await (await openAdmin(context, withOptions(command))).remove('teams', given);
    });
}

async function listCustomers(context: CliContext, options: CustomerOptions): Promise<void> {
  const found = await (await openAdmin(context, options)).list('customers');
  const rows = found.map(({ id, settings, source }) => [
    id,
    textOf(settings.weight),
    settings.paused === true ? 'paused' : 'served',
    textOf(settings.name),
    source,
  ]);
  const headings = ['CUSTOMER', 'WEIGHT', 'STATE', 'NAME', 'SOURCE'];
  context.print(options.json ? JSON.stringify({ customers: found }) : formatTable(headings, rows));
}

function fieldsOf({ name, weight }: CustomerOptions): Record<string, unknown> {
  const number = weight === undefined ? undefined : Number(weight);
  if (number !== undefined && !(number > 0)) throw usageError(`--weight ${weight}: give a number above 0.`);
  return {
    ...(name === undefined ? {} : { name }),
    ...(number === undefined ? {} : { weight: number }),
  };
}

async function tell(context: CliContext, { json }: CommonOptions, made: Promise<AdminObject>): Promise<void> {
  const object = await made;
  context.print(json ? JSON.stringify(object) : `${object.id} is in force (version ${object.version}).`);
}
