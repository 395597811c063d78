import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Redis } from 'ioredis';
import type { z } from 'zod';
import { storeError } from './connection.ts';

type Value = string | number | Buffer;

interface ScriptDefinition<Key extends string, Arg extends string, Reply> {
  /** The Lua file; its head says what the script grants, and what it costs. */
  file: URL;
  /** Lua files that stand before it: local functions that several scripts use. They see its keys, arguments and clock. */
  includes?: readonly URL[];
  /** Names of the keys, in order; each is a local of the same name in Lua. */
  keys: readonly Key[];
  /** Names of the arguments, in order; each is a local of the same name in Lua. Further ones are in `rest`. */
  args: readonly Arg[];
  /** Shape of the reply. */
  reply: z.ZodType<Reply>;
  /** Whether the script must run even when Redis is out of memory: only what frees or settles. */
  allowOutOfMemory?: boolean;
}

export interface Script<Key extends string, Arg extends string, Reply> {
  readonly name: string;
  readonly text: string;
  readonly sha1: string;
  readonly keys: readonly Key[];
  readonly args: readonly Arg[];
  readonly reply: z.ZodType<Reply>;
}

export interface ScriptCall<Key extends string, Arg extends string> {
  keys: Record<Key, string>;
  args: Record<Arg, Value>;
  rest?: readonly Value[];
}

/** Redis time in milliseconds, unless the caller (a test) supplies one as the argument `suppliedNowMs`. */
const nowPrelude = `local nowMs = tonumber(suppliedNowMs)
if not nowMs then
  local time = redis.call('TIME')
  nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
end
`;

/** Reads a Lua file and makes a typed script of it. Names of keys and arguments become locals of the script. */
export function defineScript<Key extends string, Arg extends string, Reply>(
  definition: ScriptDefinition<Key, Arg, Reply>,
): Script<Key, Arg, Reply> {
  const { keys, args, reply } = definition;
  const locals = [
    ...keys.map((key, index) => `local ${key} = KEYS[${index + 1}]`),
    ...args.map((arg, index) => `local ${arg} = ARGV[${index + 1}]`),
    `local restFrom = ${args.length + 1}`,
  ].join('\n');
  const clock = (args as readonly string[]).includes('suppliedNowMs') ? nowPrelude : '';
  const shebang = `#!lua${definition.allowOutOfMemory ? ' flags=allow-oom' : ''}\n`;
  const files = [...(definition.includes ?? []), definition.file];
  const text = `${shebang}${locals}\n${clock}${files.map((file) => readFileSync(file, 'utf8')).join('')}`;
  const name = definition.file.pathname.split('/').at(-1)!.replace('.lua', '');
  return { name, text, sha1: createHash('sha1').update(text).digest('hex'), keys, args, reply };
}

/**
 * Runs a script. Survives SCRIPT FLUSH and restarts of Redis: an unknown script is sent again as text.
 *
 * @throws SluiceError store_unavailable when Redis cannot be asked or refuses for now
 */
export async function runScript<Key extends string, Arg extends string, Reply>(
  redis: Redis,
  script: Script<Key, Arg, Reply>,
  call: ScriptCall<Key, Arg>,
): Promise<Reply> {
  const parameters: Value[] = [];
  for (const key of script.keys) parameters.push(call.keys[key]);
  for (const arg of script.args) parameters.push(call.args[arg]);
  if (call.rest) parameters.push(...call.rest);
  const reply = await evaluate(redis, script, parameters).catch((error: unknown) => {
    throw storeError(error);
  });
  return script.reply.parse(reply);
}

async function evaluate(
  redis: Redis,
  script: Script<string, string, unknown>,
  parameters: Value[],
): Promise<unknown> {
  try {
    return await redis.evalsha(script.sha1, script.keys.length, ...parameters);
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
    return await redis.eval(script.text, script.keys.length, ...parameters);
  }
}
