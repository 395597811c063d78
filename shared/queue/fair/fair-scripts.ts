import { fairKeys } from '#shared/redis/keys.ts';
import { expandScript } from './lua-source.ts';

/** Keys every script gets, after those of the BullMQ script it wraps: fields of `key` in Lua. */
const bullmqKeyNames = [
  'wait',
  'active',
  'prioritized',
  'delayed',
  'completed',
  'events',
  'meta',
  'marker',
  'limiter',
  'id',
  'stalled',
] as const;
const fairKeyNames = ['pool', 'tenants', 'lanes', 'parked', 'leases'] as const;
const keyNames = [...bullmqKeyNames, ...fairKeyNames];
/** Prefixes of keys that a script completes (fields of `key` too). */
const prefixNames = ['jobPrefix', 'lanePrefix', 'jobsPrefix', 'slotsPrefix'] as const;
/** What every call says: fields of `arg`, as are a script's own arguments. */
const commonArgs = ['suppliedNowMs', 'mutedEvents'] as const;
const claimArgs = [
  'count',
  'tokenPrefix',
  'tokenFrom',
  'lockMs',
  'workerName',
  'limiterMax',
  'limiterDurationMs',
] as const;
const leaveArgs = [
  'leavingJobId',
  'usedInput',
  'usedOutput',
  'restored',
  'removesJob',
  'staysOn',
  'plainFinish',
  'tokenHeld',
] as const;
const addArgs = [
  'packedArgs',
  'data',
  'packedOptions',
  'tenant',
  'class',
  'input',
  'output',
  'max',
  'deadlineMs',
  'arrivalMs',
] as const;

interface Wrapped {
  /** File of the BullMQ script, without its ending; the number in it is how many keys it takes. */
  script: string;
  args: number;
}

export interface FairScript<Arg extends string = string> {
  /** Name of the command on the client. */
  readonly command: string;
  readonly text: string;
  readonly numberOfKeys: number;
  readonly args: readonly Arg[];
}

interface Definition<Arg extends string> {
  file: string;
  command?: string;
  args: readonly Arg[];
  wraps?: Wrapped;
  /** Whether it must run even when Redis is out of memory: only what frees or settles. */
  allowOutOfMemory?: boolean;
}

function define<Arg extends string>(definition: Definition<Arg>): FairScript<Arg> {
  const { file, wraps, args } = definition;
  const keysFrom = wraps ? Number(wraps.script.split('-').at(-1)) : 0;
  const argsFrom = wraps?.args ?? 0;
  const fields = (from: number, table: string, names: readonly string[]) =>
    names.map((name, index) => `  ${name} = ${table}[${from + index + 1}],`).join('\n');
  // Tables, not locals: Lua looks through all captured locals whenever a function captures one.
  const prelude = [
    `local key = {\n${fields(keysFrom, 'KEYS', keyNames)}\n${fields(argsFrom, 'ARGV', prefixNames)}\n}`,
    `local arg = {\n${fields(argsFrom + prefixNames.length, 'ARGV', [...commonArgs, ...args])}\n}`,
  ].join('\n');
  const shebang = `#!lua${definition.allowOutOfMemory ? ' flags=allow-oom' : ''}`;
  return {
    command: `sluice:${definition.command ?? file.replace('.lua', '')}`,
    text: `${shebang}\n${prelude}\n${expandScript(file, wraps?.script)}`,
    numberOfKeys: keysFrom + keyNames.length,
    args,
  };
}

const leave = (command: string, script: string, args: number) =>
  define({
    file: 'leave.lua',
    command,
    args: [...leaveArgs, ...claimArgs],
    wraps: { script, args },
    allowOutOfMemory: true,
  });

export const fairScripts = {
  add: define({ file: 'add.lua', args: addArgs }),
  dispatch: define({ file: 'dispatch.lua', args: claimArgs, allowOutOfMemory: true }),
  finish: leave('finish', 'moveToFinished-14', 9),
  delay: leave('delay', 'moveToDelayed-11', 9),
  retry: leave('retry', 'retryJob-11', 6),
  putBack: leave('putBack', 'moveJobFromActiveToWait-9', 3),
  awaitChildren: leave('awaitChildren', 'moveToWaitingChildren-7', 5),
  remove: define({ file: 'remove.lua', args: ['leavingJobId'], wraps: { script: 'removeJob-2', args: 3 } }),
  clear: define({ file: 'clear.lua', args: ['jobsMax'], allowOutOfMemory: true }),
  publish: define({ file: 'publish.lua', args: ['configuration', 'tenants'] }),
  steer: define({
    file: 'steer.lua',
    args: ['credentialId', 'cooldownUntilMs', 'parked'],
    allowOutOfMemory: true,
  }),
  explain: define({ file: 'explain.lua', args: ['lanesMax', 'tenant', 'jobId'] }),
} as const;

export type FairScriptName = keyof typeof fairScripts;
type ArgsOf<Name extends FairScriptName> = (typeof fairScripts)[Name]['args'][number];

/** Jobs as `[fields, id, grant]`, when to ask again, how long BullMQ's limiter refuses. */
export type DispatchReply = [jobs: [string[], string, string][], comeBackMs: number, limitedMs: number];
type LeaveReply = [status: number, DispatchReply?];

export interface FairReply {
  add: string | number;
  dispatch: DispatchReply;
  finish: LeaveReply;
  delay: LeaveReply;
  retry: LeaveReply;
  putBack: LeaveReply;
  awaitChildren: LeaveReply;
  remove: number;
  clear: number;
  publish: number;
  steer: number;
  explain: string;
}

/** What a script gets: the keys and arguments of the BullMQ script it wraps, and ours by name. */
export interface FairCall<Name extends FairScriptName> {
  bullmqKeys?: readonly unknown[];
  bullmqArgs?: readonly unknown[];
  args: Record<ArgsOf<Name>, unknown>;
}

export interface CallContext {
  /** BullMQ's keys of the queue. */
  keys: Record<string, string>;
  suppliedNowMs: number | '';
  mutedEvents: boolean;
}

/** Keys of a script that belong to the BullMQ script it wraps. */
export function bullmqKeyCount(name: FairScriptName): number {
  return fairScripts[name].numberOfKeys - keyNames.length;
}

/** Keys and arguments of a call, flat, as the client takes them. */
export function callArguments<Name extends FairScriptName>(
  name: Name,
  call: FairCall<Name>,
  { keys, suppliedNowMs, mutedEvents }: CallContext,
): unknown[] {
  const jobPrefix = keys['']!;
  const fair = fairKeys(jobPrefix);
  const args = call.args as Record<string, unknown>;
  return [
    ...(call.bullmqKeys ?? []),
    ...bullmqKeyNames.map((name) => keys[name]),
    ...fairKeyNames.map((name) => fair[name]),
    ...(call.bullmqArgs ?? []),
    jobPrefix,
    fair.lane,
    fair.jobs,
    fair.slots,
    suppliedNowMs,
    mutedEvents ? 1 : 0,
    ...fairScripts[name].args.map((arg) => args[arg]),
  ];
}
