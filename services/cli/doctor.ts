import type { Command } from 'commander';
import type { Settings } from '#config/schema.ts';
import { type CliContext, type CommonOptions, openOperations } from './cli-context.ts';
import { CliError, exitCodes } from './cli-error.ts';
import { type Check, fail, ok } from './doctor/check.ts';
import { checkCeilings } from './doctor/check-ceilings.ts';
import { checkDataFolder, checkLeftLocks, checkNode, checkPorts } from './doctor/check-machine.ts';
import { checkPrices } from './doctor/check-prices.ts';
import { checkProviders } from './doctor/check-providers.ts';
import { checkRedis } from './doctor/check-redis.ts';
import { type Pool, readPools } from './pool-shape.ts';
import { formatTable } from './table.ts';

/** Longest wait for the operations port, which may well not be there. */
const operationsMs = 2_000;

export function addDoctorCommand(program: Command, context: CliContext): void {
  program
    .command('doctor')
    .description('look for what is wrong with this machine, Redis, the configuration and the providers')
    .action((_options, command: Command) => runDoctor(context, command.optsWithGlobals<CommonOptions>()));
}

async function runDoctor(context: CliContext, options: CommonOptions): Promise<void> {
  const checks = [checkNode(process.versions.node), ...(await checkConfigured(context, options))];
  const failed = checks.some(({ state }) => state === 'fail');
  context.print(options.json ? JSON.stringify({ ok: !failed, checks }) : report(checks));
  if (failed) context.end(exitCodes.failed);
}

/** Everything that the configuration says where to look for; nothing, when it cannot be read. */
async function checkConfigured(context: CliContext, options: CommonOptions): Promise<Check[]> {
  let settings: Settings;
  try {
    settings = context.loadSettings();
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    return [fail('configuration', error.message, 'Every setting and its bounds: config/REFERENCE.md.')];
  }
  const { clock, executablePath, configFile } = context;
  const groups = await Promise.all([
    Promise.all([checkDataFolder(settings.redis.data_dir), checkLeftLocks(settings.redis.data_dir)]),
    checkPorts(settings),
    checkRedis(settings, executablePath, clock),
    checkProviders(settings, clock),
    runningPools(context, options).then((pools) => checkCeilings(settings, pools)),
  ]);
  return [ok('configuration', configFile), ...groups.flat(), checkPrices(settings, clock)];
}

/** What a Sluice that runs says of its pools; undefined when none does. */
async function runningPools(context: CliContext, options: CommonOptions): Promise<Pool[] | undefined> {
  try {
    return await readPools(await openOperations(context, options), operationsMs);
  } catch (error) {
    if (error instanceof CliError) return undefined;
    throw error;
  }
}

function report(checks: readonly Check[]): string {
  const rows = checks.map(({ name, state, detail }) => [state, name, detail.split('\n')[0]!]);
  const more = checks.flatMap(({ name, detail, hint }) => [
    ...detail.split('\n').slice(1),
    ...(hint ? [`${name}: ${hint}`] : []),
  ]);
  const table = formatTable(['', 'CHECK', 'FOUND'], rows);
  return more.length > 0 ? `${table}\n\n${more.join('\n')}` : table;
}
