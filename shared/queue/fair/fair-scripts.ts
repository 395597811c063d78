import { callFunction, type FunctionClient, loadLibrary } from '#shared/redis/function-library.ts';
import type { FairOptions } from './claims.ts';
import { bullmqKeysOf, compileLibrary, type ScriptDefinition } from './fair-library.ts';

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
const leaveArgs = ['leavingJobId', 'usedInput', 'usedOutput', 'unused', 'removesJob', 'staysOn'] as const;
const placeArgs = ['tenant', 'class', 'input', 'output', 'max', 'deadlineMs', 'arrivalMs'] as const;
const addPlainArgs = ['newJobId', 'name', 'timestamp', 'data', 'packedOptions', ...placeArgs] as const;
const addArgs = ['packedArgs', 'data', 'packedOptions', ...placeArgs] as const;

/** One of our scripts; what every call says comes before its own arguments. */
const define = <Arg extends string>(definition: ScriptDefinition<Arg>) => ({
  ...definition,
  args: [...commonArgs, ...definition.args],
  ownArgs: definition.args,
});

const leave = (script: string, args: number) =>
  define({
    file: 'leave.lua',
    args: [...leaveArgs, ...claimArgs],
    wraps: { script, args },
    allowOutOfMemory: true,
  });

export const fairScripts = {
  add: define({ file: 'add.lua', args: addArgs }),
  addPlain: define({ file: 'add-plain.lua', args: addPlainArgs }),
  dispatch: define({ file: 'dispatch.lua', args: claimArgs, allowOutOfMemory: true }),
  complete: define({ file: 'complete.lua', args: claimArgs, allowOutOfMemory: true }),
  finish: leave('moveToFinished-14', 9),
  delay: leave('moveToDelayed-11', 9),
  retry: leave('retryJob-11', 6),
  putBack: leave('moveJobFromActiveToWait-9', 3),
  awaitChildren: leave('moveToWaitingChildren-7', 5),
  remove: define({ file: 'remove.lua', args: ['leavingJobId'], wraps: { script: 'removeJob-2', args: 3 } }),
  clear: define({ file: 'clear.lua', args: ['jobsMax'], allowOutOfMemory: true }),
  publish: define({ file: 'publish.lua', args: ['configuration', 'tenants', 'fingerprint', 'publisher'] }),
  steer: define({
    file: 'steer.lua',
    args: ['credentialId', 'forMs'],
    allowOutOfMemory: true,
  }),
  explain: define({ file: 'explain.lua', args: ['lanesMax', 'tenant', 'jobId'] }),
  report: define({
    file: 'report.lua',
    args: ['credentialId', 'jobId', 'ending', 'atLeastMs'],
    allowOutOfMemory: true,
  }),
  observe: define({
    file: 'observe.lua',
    args: ['credentialId', 'ageMs', 'readings'],
    allowOutOfMemory: true,
  }),
} as const;

export const fairLibrary = compileLibrary(fairScripts);

export type FairScriptName = keyof typeof fairScripts;
type ArgsOf<Name extends FairScriptName> = (typeof fairScripts)[Name]['ownArgs'][number];

/**
 * Jobs as `[fields, id, grant]`, when to ask again, how long BullMQ's limiter refuses, how much later this caller is to
 * ask, and why the next one waits.
 */
export type DispatchReply = [
  jobs: [string[], string, string][],
  comeBackMs: number,
  limitedMs: number,
  lateMs: number,
  waitedFor?: string | null,
  tenant?: string | null,
];
export type CompleteReply = [statuses: number[], DispatchReply?];
export type LeaveReply = [status: number, DispatchReply?];

/** Whether it said anything new, how many publications there have been, and who made the one before. */
export type PublishReply = [changed: number, revision: number, before: string];

export interface FairReply {
  add: string | number;
  addPlain: string;
  dispatch: DispatchReply;
  complete: CompleteReply;
  finish: LeaveReply;
  delay: LeaveReply;
  retry: LeaveReply;
  putBack: LeaveReply;
  awaitChildren: LeaveReply;
  remove: number;
  clear: number;
  publish: PublishReply;
  steer: number;
  explain: string;
  report: string;
  observe: string;
}

/** What a script gets: the keys and arguments of the BullMQ script it wraps, and ours by name. */
export interface FairCall<Name extends FairScriptName> {
  bullmqKeys?: readonly unknown[];
  bullmqArgs?: readonly unknown[];
  args: Record<ArgsOf<Name>, unknown>;
  /** Further arguments; in Lua they begin at ARGV[restFrom]. */
  rest?: readonly unknown[];
}

/** Keys of a script that belong to the BullMQ script it wraps. */
export function bullmqKeyCount(name: FairScriptName): number {
  return bullmqKeysOf(fairScripts[name]);
}

/** Keys and arguments of the BullMQ script, as BullMQ's own methods build them in one list. */
export function splitFlat(name: FairScriptName, flat: readonly unknown[]) {
  const count = bullmqKeyCount(name);
  return { bullmqKeys: flat.slice(0, count), bullmqArgs: flat.slice(count) };
}

/** Loads the scripts wherever they are missing: before a pipeline, which cannot do so itself. */
export const loadFairScripts = (client: FunctionClient) => loadLibrary(client, fairLibrary);

/** Runs a script, on the queue whose keys all begin with `queueKey`. */
export function callFairScript<Name extends FairScriptName>(
  client: FunctionClient,
  name: Name,
  call: FairCall<Name>,
  queueKey: string,
  { suppliedNowMs, events }: FairOptions,
): Promise<unknown> {
  const args = call.args as Record<string, unknown>;
  return callFunction(client, fairLibrary, [
    `${fairLibrary.name}_${name}`,
    bullmqKeyCount(name) + 1,
    ...(call.bullmqKeys ?? []),
    queueKey,
    ...(call.bullmqArgs ?? []),
    suppliedNowMs?.() ?? '',
    events ? 0 : 1,
    ...fairScripts[name].ownArgs.map((arg) => args[arg]),
    ...(call.rest ?? []),
  ]);
}
