import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** The scripts build on BullMQ's Lua as it is in this release, and were tested with no other. */
const bullmqVersion = '6.7.0';

const directive = /^--- @(include|lazy|wrapped) "?([\w:/-]+)"?.*$/gm;
/** BullMQ's name for redis.call; in ours it is defined once, by calls.lua. */
const ownCall = /^\s*local rcall = redis\.call;?\s*$/gm;

function bullmqCommands(): string {
  const manifest = createRequire(import.meta.url).resolve('bullmq/package.json');
  const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string };
  if (version !== bullmqVersion) {
    throw new Error(`Sluice builds on the scripts of bullmq ${bullmqVersion}; ${version} is installed.`);
  }
  return join(dirname(manifest), 'dist', 'cjs', 'commands');
}

const commands = bullmqCommands();
const own = new URL('./lua/', import.meta.url);

function readOwn(name: string): string {
  return readFileSync(new URL(name, own), 'utf8');
}

/** Text of one of BullMQ's files with its includes, each once, in the order of their use. */
function expandBullmq(file: string, seen: Set<string>): string {
  const folder = dirname(file);
  return readFileSync(file, 'utf8').replace(directive, (_, _kind, name: string) => {
    const included = join(folder, `${name}.lua`);
    if (seen.has(included)) return '';
    seen.add(included);
    return expandBullmq(included, seen);
  });
}

/** A whole BullMQ script as a function of its KEYS and ARGV. */
function wrapBullmq(functionName: string, script: string): string {
  const body = expandBullmq(join(commands, `${script}.lua`), new Set()).replace(ownCall, '');
  return `local function ${functionName}(KEYS, ARGV)\n${body}\nend`;
}

/**
 * A module that costs nothing until it is used: defining a function takes Lua longer than most commands take Redis, and
 * does so again in every call of the script.
 */
function lazyModule(name: string, text: string): string {
  const body = text.replace(`local ${name} = {}\n`, '');
  return [
    `local ${name} = setmetatable({}, { __index = function(${name}, wanted)`,
    `setmetatable(${name}, nil)`,
    body,
    `return ${name}[wanted]`,
    'end })',
  ].join('\n');
}

/**
 * Expands one of our scripts: `--- @include "name"` takes lua/includes/name.lua, `--- @lazy "name"` takes it as a module
 * that is defined when it is first used, `--- @include "bullmq:name"` is BullMQ's include of that name from the installed
 * package, and `--- @wrapped name` the BullMQ script `wrapped` as a function.
 */
export function expandScript(file: string, wrapped?: string): string {
  const seen = new Set<string>();
  const expand = (text: string): string =>
    text.replace(directive, (_, kind: string, name: string) => {
      if (kind === 'wrapped') return wrapBullmq(name, wrapped!);
      if (kind === 'lazy') return lazyModule(name, expand(readOwn(`includes/${name}.lua`)));
      if (name.startsWith('bullmq:')) {
        const included = join(commands, 'includes', `${name.slice('bullmq:'.length)}.lua`);
        if (seen.has(included)) return '';
        seen.add(included);
        return expandBullmq(included, seen).replace(ownCall, '');
      }
      if (seen.has(name)) return '';
      seen.add(name);
      return expand(readOwn(`includes/${name}.lua`));
    });
  return expand(readOwn(file));
}
