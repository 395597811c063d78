import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { parse, stringify } from 'yaml';
import type { Note } from '#shared/peers/fields.ts';
import { openAdmin } from './admin-client.ts';
import type { CliContext, CommonOptions } from './cli-context.ts';
import { usageError } from './cli-error.ts';
import { applyImported } from './import/apply-imported.ts';
import { importBifrost } from './import/import-bifrost.ts';
import { importLitellm } from './import/import-litellm.ts';
import type { Imported } from './import/imported.ts';

interface ImportOptions extends CommonOptions {
  apply?: boolean;
  replace?: boolean;
}

interface Source {
  name: string;
  file: string;
  what: string;
  read: (configuration: unknown) => Imported;
}

const sources: readonly Source[] = [
  { name: 'litellm', file: 'config.yaml', what: 'LiteLLM', read: importLitellm },
  { name: 'bifrost', file: 'config.json', what: 'Bifrost', read: importBifrost },
];

/** Largest foreign configuration that is read. */
const bytesMax = 16_777_216;

export function addImportCommand(program: Command, context: CliContext): void {
  const group = program.command('import').description('turn the configuration of another gateway into ours');
  for (const source of sources) {
    group
      .command(source.name)
      .description(`print a ${source.what} configuration as one of Sluice; what has no counterpart is listed`)
      .argument(`<${source.file}>`, 'the file')
      .option('--apply', 'put it into the Sluice that runs, instead of printing it')
      .option('--replace', 'with --apply: also what is there already under the same names')
      .action((file: string, _options, command: Command) =>
        runImport(context, source, file, command.optsWithGlobals<ImportOptions>()),
      );
  }
}

async function runImport(
  context: CliContext,
  source: Source,
  file: string,
  options: ImportOptions,
): Promise<void> {
  const { configuration, notes } = source.read(await readForeign(file));
  const { json } = options;
  if (options.apply) {
    const admin = await openAdmin(context, options);
    const applied = await applyImported(admin, configuration, options.replace === true, context.fillText);
    notes.push(...applied.notes);
    if (json) return context.print(JSON.stringify({ applied: applied.things, notes }));
    for (const thing of applied.things) context.print(thing);
    return tellNotes(context, notes);
  }
  if (json) return context.print(JSON.stringify({ configuration, notes }));
  context.write(stringify(configuration, { lineWidth: 0 }));
  tellNotes(context, notes);
}

function tellNotes(context: CliContext, notes: readonly Note[]): void {
  context.say(
    notes.length === 0 ? 'Everything has a counterpart.' : 'Not taken over, or not in the same way:',
  );
  for (const { path, reason } of notes) context.say(`  ${path || '(the file)'}: ${reason}`);
}

/** YAML, of which JSON is a part. */
async function readForeign(file: string): Promise<unknown> {
  const text = await readFile(file, 'utf8').catch(() => {
    throw usageError(`${file} cannot be read.`);
  });
  if (Buffer.byteLength(text) > bytesMax) throw usageError(`${file} is larger than ${bytesMax} bytes.`);
  try {
    const parsed: unknown = parse(text, { logLevel: 'silent', prettyErrors: false });
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return parsed;
  } catch {
    // Errors of the parser quote the file, and with it its secrets.
  }
  throw usageError(`${file} is neither YAML nor JSON with an object in it.`);
}
