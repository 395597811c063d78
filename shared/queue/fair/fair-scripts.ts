import type { RedisClient } from 'bullmq';
import { fairKeys } from '#shared/redis/keys.ts';
import { expandScript } from './lua-source.ts';

const fairSuffixes = fairKeys('');
/** What `key.name` in Lua stands for: the queue's key with this at its end. Those of prefixes the script completes. */
const suffixes: Record<string, string> = {
  ...Object.fromEntries(
    [
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
    ].map((name) => [name, name]),
  ),
  pool: fairSuffixes.pool,
  tenants: fairSuffixes.tenants,
  lanes: fairSuffixes.lanes,
  parked: fairSuffixes.parked,
  leases: fairSuffixes.leases,
  jobPrefix: '',
  lanePrefix: fairSuffixes.lane,
  jobsPrefix: fairSuffixes.jobs,
  slotsPrefix: fairSuffixes.slots,
};
/** What every call says; `arg.name` in Lua, as for a script's own arguments. */
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
const leaveArgs = ['leavingJobId', 'usedInput', 'usedOutput', 'restored', 'removesJob', 'staysOn'] as const;
const completeArgs = ['leavingJobId', 'usedInput', 'usedOutput', 'tokenHeld'] as const;
const placeArgs = ['tenant', 'class', 'input', 'output', 'max', 'deadlineMs', 'arrivalMs'] as const;
const addPlainArgs = ['newJobId', 'name', 'timestamp', 'data', 'packedOptions', ...placeArgs] as const;
const addArgs = ['packedArgs', 'data', 'packedOptions', ...placeArgs] as const;

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

/**
 * Puts keys and arguments where Lua names them. Names, not locals: Lua looks through all captured locals whenever a
 * function captures one, which cost more than the commands of a dispatch.
 */
function resolveNames(text: string, argsFrom: number, args: readonly string[]): string {
  return text
    .replace(/(?<![\w.])key\.(\w+)/g, (whole, name: string) =>
      suffixes[name] === undefined
        ? whole
        : suffixes[name]
          ? `(queueKey .. '${suffixes[name]}')`
          : 'queueKey',
    )
    .replace(/(?<![\w.])arg\.(\w+)/g, (whole, name: string) =>
      args.includes(name) ? `ARGV[${argsFrom + args.indexOf(name) + 1}]` : whole,
    );
}

function define<Arg extends string>(definition: Definition<Arg>): FairScript<Arg> {
  const { file, wraps, args } = definition;
  const keysFrom = wraps ? Number(wraps.script.split('-').at(-1)) : 0;
  const body = resolveNames(expandScript(file, wraps?.script), wraps?.args ?? 0, [...commonArgs, ...args]);
  const shebang = `#!lua${definition.allowOutOfMemory ? ' flags=allow-oom' : ''}`;
  return {
    command: `sluice:${definition.command ?? file.replace('.lua', '')}`,
    text: `${shebang}\nlocal queueKey = KEYS[${keysFrom + 1}]\n${body}`,
    numberOfKeys: keysFrom + 1,
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
  addPlain: define({ file: 'add-plain.lua', args: addPlainArgs }),
  dispatch: define({ file: 'dispatch.lua', args: claimArgs, allowOutOfMemory: true }),
  complete: define({ file: 'complete.lua', args: completeArgs, allowOutOfMemory: true }),
  completeNext: define({
    file: 'complete-next.lua',
    args: [...completeArgs, ...claimArgs],
    allowOutOfMemory: true,
  }),
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
export type LeaveReply = [status: number, DispatchReply?];

export interface FairReply {
  add: string | number;
  addPlain: string;
  dispatch: DispatchReply;
  complete: number;
  completeNext: LeaveReply;
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
  /** What all keys of the queue begin with. */
  queueKey: string;
  suppliedNowMs: number | '';
  mutedEvents: boolean;
}

/** Keys of a script that belong to the BullMQ script it wraps. */
export function bullmqKeyCount(name: FairScriptName): number {
  return fairScripts[name].numberOfKeys - 1;
}

/** Keys and arguments of a call, flat, as the client takes them. */
export function callArguments<Name extends FairScriptName>(
  name: Name,
  call: FairCall<Name>,
  { queueKey, suppliedNowMs, mutedEvents }: CallContext,
): unknown[] {
  const args = call.args as Record<string, unknown>;
  return [
    ...(call.bullmqKeys ?? []),
    queueKey,
    ...(call.bullmqArgs ?? []),
    suppliedNowMs,
    mutedEvents ? 1 : 0,
    ...fairScripts[name].args.map((arg) => args[arg]),
  ];
}

/** Makes the scripts commands of a client; once for each client. */
export function defineCommands(client: RedisClient): void {
  const commands = client as unknown as Record<string, unknown>;
  for (const { command, text, numberOfKeys } of Object.values(fairScripts)) {
    if (!commands[command]) client.defineCommand(command, { lua: text, numberOfKeys });
  }
}
