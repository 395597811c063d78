// `sluice`: the command line. It talks HTTP to a Sluice that runs; only `up` runs one.
import { pipeline } from 'node:stream/promises';
import { Command, CommanderError } from 'commander';
import {
  ConfigurationError,
  commandLineDefaults,
  configurationFile,
  executablePath,
  fillText,
  loadSettings,
  loadSettingsOf,
} from '#config/load.ts';
import type { Settings } from '#config/schema.ts';
import { systemClock } from '#shared/kernel/clock.ts';
import { describeError } from '#shared/kernel/errors.ts';
import { systemRandom } from '#shared/kernel/random.ts';
import { keptAdminKey, keptDevelopmentKey } from '../development-key.ts';
import { reachableHost, readRunningFile } from '../running-file.ts';
import { addBatchCommand } from './batches.ts';
import { type CliContext, type CommonOptions, errorText, type Target } from './cli-context.ts';
import { CliError, type ExitCode, exitCodes, usageError } from './cli-error.ts';
import { addCustomersCommand, addTeamsCommand } from './customers.ts';
import { addDoctorCommand } from './doctor.ts';
import { addImportCommand } from './import.ts';
import { addJobsCommand } from './jobs.ts';
import { addKeysCommand } from './keys.ts';
import { addPoolsCommand } from './pools.ts';
import { addUsageCommand } from './usage.ts';

function readSettings(file?: string): Settings {
  try {
    return file === undefined ? loadSettings() : loadSettingsOf(file);
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    throw usageError(`The configuration cannot be used:\n${error.message}`);
  }
}

/** Explicit options first, then the environment, then the Sluice that runs on this data folder, then the configuration. */
async function findTarget(options: CommonOptions): Promise<Target> {
  const said = { ...commandLineDefaults(), ...options };
  if (said.url && said.key) return { url: said.url, key: said.key, operationsUrl: said.operationsUrl };
  const settings = readSettings();
  const running = await readRunningFile(settings.redis.data_dir);
  const { http, operations } = settings;
  const at = (each: { host: string; port: number }) => `http://${reachableHost(each.host)}:${each.port}`;
  return {
    url: said.url ?? running?.url ?? at(http),
    operationsUrl: said.operationsUrl ?? (said.url ? undefined : (running?.operationsUrl ?? at(operations))),
    key: said.key ?? running?.key ?? (await configuredKey(settings)),
  };
}

/** The admin API of the options, of the Sluice that runs on this data folder, or of the configuration. */
async function findAdminTarget(options: CommonOptions): Promise<{ url: string; key: string } | undefined> {
  const said = { ...commandLineDefaults(), ...options };
  if (said.operationsUrl && said.adminKey) return { url: said.operationsUrl, key: said.adminKey };
  // Of a Sluice that was only named by its URL it is not known where its admin API is.
  if (said.url && !said.operationsUrl) return undefined;
  const settings = readSettings();
  const { operations, redis, admin } = settings;
  const running = await readRunningFile(redis.data_dir);
  const key = said.adminKey ?? running?.adminKey ?? admin.key ?? (await keptAdminKey(redis.data_dir));
  const configured = `http://${reachableHost(operations.host)}:${operations.port}`;
  const url = said.operationsUrl ?? running?.operationsUrl ?? configured;
  return key === undefined ? undefined : { url, key };
}

/** A key that the configuration names, or the one that `npm start` made. */
async function configuredKey({ customers, redis }: Settings): Promise<string> {
  const named = Object.values(customers).flatMap(({ keys }) => keys.map(({ key }) => key));
  const key = named.find((each) => each !== '') ?? (await keptDevelopmentKey(redis.data_dir));
  if (key) return key;
  throw usageError('No virtual key is known here.', 'Name one with --key, or run `npm start` first.');
}

const context: CliContext = {
  clock: systemClock,
  random: systemRandom,
  print: (text) => void process.stdout.write(`${text}\n`),
  write: (text) => void process.stdout.write(text),
  copy: (bytes) => pipeline(bytes, process.stdout, { end: false }),
  say: (text) => void process.stderr.write(`${text}\n`),
  watched: process.stderr.isTTY === true,
  printWatched: process.stdout.isTTY === true,
  configFile: configurationFile(),
  executablePath: executablePath(),
  loadSettings: readSettings,
  fillText: (text) => fillText(text),
  findTarget,
  findAdmin: findAdminTarget,
  end: (code: ExitCode) => {
    process.exitCode = code;
  },
};

function buildProgram(): Command {
  const program = new Command('sluice')
    .description('A durable, fair, rate-limit-exact broker for LLM calls.')
    .option('--json', 'print JSON for machines')
    .option('--url <url>', 'where Sluice is (default: SLUICE_URL, or the one that runs here)')
    .option('--key <key>', 'virtual key (default: SLUICE_KEY, or that of the one that runs here)')
    .option(
      '--operations-url <url>',
      'where its operations port is (default: that of the one that runs here)',
    )
    .option(
      '--admin-key <key>',
      'key of the admin API (default: SLUICE_ADMIN_KEY, or that of the one that runs here)',
    )
    .configureHelp({ showGlobalOptions: true })
    .exitOverride();
  program
    .command('up')
    .description('run everything in one process, as `npm start` does')
    .action(async () => void (await import('../all.ts')));
  addBatchCommand(program, context);
  addJobsCommand(program, context);
  addPoolsCommand(program, context);
  addKeysCommand(program, context);
  addCustomersCommand(program, context);
  addTeamsCommand(program, context);
  addUsageCommand(program, context);
  addImportCommand(program, context);
  addDoctorCommand(program, context);
  return program;
}

// A reader that has seen enough (`| head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

const program = buildProgram();
try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
  } else {
    const known = error instanceof CliError ? error : new CliError(exitCodes.failed, describeError(error));
    context.say(errorText(known, program.opts<CommonOptions>().json === true));
    process.exitCode = known.exitCode;
  }
}
