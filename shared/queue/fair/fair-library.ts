import { hash } from 'node:crypto';
import type { FunctionLibrary } from '#shared/redis/function-library.ts';
import { fairKeys } from '#shared/redis/keys.ts';
import { LuaSource } from './lua-source.ts';

const bullmqKeys = 'wait active prioritized delayed completed events meta marker limiter id stalled'.split(
  ' ',
);
const { lane, jobs, slots, ...fairSuffixes } = fairKeys('');
/** What `key.name` in Lua stands for: the queue's key with this at its end. Those of prefixes the script completes. */
const suffixes: Record<string, string> = {
  ...Object.fromEntries(bullmqKeys.map((name) => [name, name])),
  ...fairSuffixes,
  jobPrefix: '',
  lanePrefix: lane,
  jobsPrefix: jobs,
  slotsPrefix: slots,
};

export interface ScriptDefinition<Arg extends string = string> {
  file: string;
  args: readonly Arg[];
  /** File of the BullMQ script that it wraps, without its ending, and how many arguments that takes. */
  wraps?: { script: string; args: number };
  /** Whether it must run even when Redis is out of memory: only what frees or settles. */
  allowOutOfMemory?: boolean;
}

/** How many keys the wrapped BullMQ script takes: the number at the end of its name. */
export function bullmqKeysOf({ wraps }: ScriptDefinition): number {
  return Number(wraps?.script.split('-').at(-1) ?? 0);
}

export interface FairLibrary extends FunctionLibrary {
  /** What it is put together from, by name. */
  readonly parts: ReadonlyMap<string, string>;
}

// Redis gives a library that is being loaded nothing but the registering of functions, so the includes run at the first
// call, and their functions stay.
const head = `local scripts
local function defineScripts()
local queueKey, arg
local function seal(module)
  setmetatable(module, { __newindex = function(_, name) error(name .. ' would outlive the call: keep it in pool') end })
end
`;
const tail = `end
local function register(name, flags)
  redis.register_function({ function_name = '@_' .. name, flags = flags, callback = function(KEYS, ARGV)
    if not scripts then scripts = defineScripts() end
    return scripts[name](KEYS, ARGV)
  end })
end
`;

/** One function of the library: what the names of this script stand for, what each call begins with, and its body. */
function functionOf(name: string, definition: ScriptDefinition, source: LuaSource): string {
  const { file, wraps, args } = definition;
  const { text, names } = source.script(file, wraps?.script);
  const known = new Set([
    ...args.map((arg) => `arg.${arg}`),
    ...Object.keys(suffixes).map((key) => `key.${key}`),
  ]);
  const unknown = [...names].filter((each) => !known.has(each));
  if (unknown.length > 0) throw new Error(`The script ${name} is not given ${unknown.join(', ')}.`);
  const argsFrom = (wraps?.args ?? 0) + 1;
  const table = args.map((arg, index) => `${arg} = ARGV[${argsFrom + index}]`).join(', ');
  return [
    `function defined.${name}(KEYS, ARGV)`,
    `queueKey, arg = KEYS[${bullmqKeysOf(definition) + 1}], { ${table} }`,
    `local restFrom = ${argsFrom + args.length}\nbeginCall()\n${text}`,
    'end',
  ].join('\n');
}

function registrationOf([name, { allowOutOfMemory }]: [string, ScriptDefinition]): string {
  return `register('${name}', {${allowOutOfMemory ? " 'allow-oom' " : ''}})`;
}

/**
 * Puts scripts together as one library, whose functions are called `<name of the library>_<name of the script>`. The
 * includes run once, while an EVALSHA defines all their functions anew in every call. The library's name is a digest of
 * its text, so that two releases of Sluice can work on one Redis.
 */
export function compileLibrary(definitions: Record<string, ScriptDefinition>): FairLibrary {
  const source = new LuaSource(suffixes);
  const functions = Object.entries(definitions).map(
    ([name, definition]) => [name, functionOf(name, definition, source)] as const,
  );
  const includes = [...source.loaded].map(([name, text]) => [`include ${name}`, text] as const);
  const beginCall = `local function beginCall()\n${source.eachCall}end\nlocal defined = {}\n`;
  const parts = new Map([
    ['head', head],
    ...includes,
    ['each call', beginCall],
    ...functions,
    ['tail', `return defined\n${tail}${Object.entries(definitions).map(registrationOf).join('\n')}`],
  ]);
  const text = [...parts.values()].join('\n');
  const name = `sluice_fair_${hash('sha256', text).slice(0, 16)}`;
  return { name, text: `#!lua name=${name}\n${text.replaceAll("'@_", `'${name}_`)}`, parts };
}
