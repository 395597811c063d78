/**
 * Weighted fair sharing of a pool, after VTC (Sheng et al., "Fairness in Serving Large Language Models", OSDI 2024),
 * which is start-time fair queuing with late charging.
 *
 * A lane has a virtual counter: its service so far in weighted tokens, `(w_in x input + w_out x output) / weight`. The
 * lane with the smallest counter among those with work is served. It is charged its estimate at dispatch; completion
 * trues it up to what was used. A lane that gets work is lifted to the counter last served, as it was before its charge,
 * or to the smallest of the others if that is less: idle time earns nothing, and who was idle is next. (SFQ's virtual time.)
 *
 * Bound. Take lanes f and g that both have work and are eligible throughout an interval. Let C be the largest charge of
 * one job over its lane's weight, and E the largest sum, over one lane, of the corrections of its jobs in hand
 * (|used - estimated| / weight). Only the smallest counter is charged, so a dispatch leaves f at most C above g.
 * Corrections move f up by at most E while it is not served, and g down by at most E. So at any time
 * |counter_f - counter_g| <= C + 2E =: D, and the weighted service in the interval, which is how far each counter moved,
 * differs by at most 2D = 2 (C + 2E). With exact estimates E is 0 and C is max(w_in x L_in + w_out x L_out) / weight.
 * Charging only at completion instead would put all output in flight, w_out x M, into E: the bound of the paper.
 */
import {
  type IQueueBackend,
  type KeepJobs,
  type MinimalJob,
  type QueueBaseOptions,
  QueueKeys,
  type RedisClient,
  type RedisConnection,
  RedisQueueBackend,
} from 'bullmq';
import { fairKeys } from '#shared/redis/keys.ts';
import {
  type BackendOptions,
  type ClaimRequest,
  type Claims,
  type Completion,
  claimArgs,
  type FairOptions,
  type Unused,
} from './claims.ts';
import {
  bullmqKeyCount,
  callFairScript,
  type DispatchReply,
  type FairCall,
  type FairReply,
  type FairScriptName,
  loadFairScripts,
  splitFlat,
} from './fair-scripts.ts';
import type { Grant } from './grant.ts';
import { readClaims } from './read-claims.ts';
import { isPlain, placeOf, type Usage, usageOf } from './ticket-place.ts';

type KeysMap = RedisQueueBackend['keys'];
type Base = RedisQueueBackend;
/** Keys or arguments of a BullMQ script, as BullMQ's own methods build them. */
type Flat = readonly unknown[];

const nobody: ClaimRequest = { count: 0, tokenPrefix: '' };
const oneFor = (token: string): ClaimRequest => ({ count: 1, tokenPrefix: token });
const keepNothing = { count: 0 };
const nothingClaimed: DispatchReply = [[], -1, 0, 0];
/** Keys of BullMQ's moveJobFromActiveToWait, which builds them itself. */
const putBackKeys = 'active wait stalled paused meta limiter prioritized marker events'.split(' ');
const jobsClearedAtOnce = 2_000;
/** BullMQ's range of scores for a priority, and how far ours lie below it (lanes.lua). */
const scorePerPriority = 2 ** 32;
const ownScores = 2 ** 53;

interface Leaving {
  jobId: string;
  usage?: Usage | undefined;
  /** The job's hash may be gone. */
  removesJob?: boolean;
  /** Reply of BullMQ's script that says that the job did not leave. */
  staysOn?: number;
  next?: ClaimRequest;
}

/** BullMQ's Redis backend with lanes, ceilings and a dispatch of our own; everything else is BullMQ's. */
export class FairQueueBackend extends RedisQueueBackend {
  readonly #fair: FairOptions;
  readonly #options: BackendOptions;
  /** Grants of the jobs that this backend handed out. */
  readonly #grants = new Map<string, Grant>();
  /** What those of them leave unused that are about to leave. */
  readonly #unused = new Map<string, Unused>();

  constructor(
    connection: RedisConnection,
    name: string,
    keys: KeysMap,
    options: QueueBaseOptions,
    fair: FairOptions,
    blockingConnection?: RedisConnection,
    ownsConnection = true,
  ) {
    super(
      connection,
      name,
      keys,
      (type) => `${keys['']}${type}`,
      options,
      blockingConnection,
      ownsConnection,
    );
    this.#fair = fair;
    this.#options = options;
    // A failure shows at the first call, which tries again.
    connection.client.then(loadFairScripts).catch(() => undefined);
  }

  override forQueue(queueName: string, prefix = this.redisPrefix): IQueueBackend {
    const keys = new QueueKeys(prefix).getKeys(queueName);
    const { connection, blockingConnection } = this;
    const options = { ...this.#options, prefix };
    return new FairQueueBackend(connection, queueName, keys, options, this.#fair, blockingConnection, false);
  }

  /** What the job was given when this backend handed it out. */
  grantOf(jobId: string): Grant | undefined {
    return this.#grants.get(jobId);
  }

  /**
   * Says before a job leaves what it leaves unused; otherwise its ceilings stay charged unless it tells its usage. What was
   * never sent and goes back to wait takes its old place at once.
   */
  noteUnused(jobId: string, unused: Unused | undefined): void {
    if (unused) this.#unused.set(jobId, unused);
  }

  protected override addStandardJob(...job: Parameters<Base['addPrioritizedJob']>) {
    return this.addPrioritizedJob(...job);
  }

  override async addJobs(entries: Parameters<Base['addJobs']>[0]): Promise<string[]> {
    await loadFairScripts(await this.client);
    return super.addJobs(entries);
  }

  override async addFlow(entries: Parameters<Base['addFlow']>[0]) {
    await loadFairScripts(await this.client);
    return super.addFlow(entries);
  }

  protected override addPrioritizedJob(
    ...[client, job, encodedOpts, args, keys = this.keys]: Parameters<Base['addPrioritizedJob']>
  ): Promise<string | number> {
    const flat = this.addPrioritizedJobArgs(job, encodedOpts, args, keys);
    const [packedArgs, data, packedOptions] = flat.slice(-3) as [Buffer, string, Buffer];
    const ticket = { ...placeOf(data), data, packedOptions };
    if (this.#fair.events || !isPlain(job, args)) {
      return this.#call(client, 'add', { args: { ...ticket, packedArgs } }, keys) as Promise<string>;
    }
    const [, jobId, name, timestamp] = args;
    const plain = { ...ticket, newJobId: jobId, name, timestamp };
    return this.#call(client, 'addPlain', { args: plain }, keys) as Promise<string>;
  }

  /** Hands out up to `count` jobs. */
  async claim(request: ClaimRequest, workerName = this.#options.name ?? ''): Promise<Claims> {
    const askedMs = this.#fair.clock.monotonicMs();
    const reply = await this.runScript('dispatch', {
      args: { ...claimArgs(request, this.#options), workerName },
    });
    return this.#claims(reply, request, askedMs);
  }

  override async moveToActive(token: string, name?: string): Promise<unknown[]> {
    return this.#nextJob(await this.claim(oneFor(token), name));
  }

  override async moveToCompleted(...parameters: Parameters<Base['moveToCompleted']>) {
    const [job, returnValue, removeOnComplete, token, fetchNext] = parameters;
    const finished = this.moveToCompletedArgs(
      job,
      JSON.stringify(returnValue),
      removeOnComplete,
      token,
      false,
    );
    const next = fetchNext && !this.closing ? oneFor(token) : nobody;
    const leaving = { jobId: job.id!, usage: usageOf(returnValue), removesJob: true, next };
    const plain = await this.#completePlainly([{ job, token, usage: leaving.usage }], next, removeOnComplete);
    if (plain.statuses[0]! < 0) throw this.#notCompleted(job, plain.statuses[0]!);
    const claims =
      plain.statuses[0] === 0
        ? plain.claims
        : await this.#leave('finish', finished, 'moveToFinished', leaving);
    return { result: next === nobody ? [] : this.#nextJob(claims), finishedOn: finishedOnOf(finished) };
  }

  override async moveToFailed(...parameters: Parameters<Base['moveToFailed']>) {
    const [job, failedReason, removeOnFail, token, fetchNext, fields] = parameters;
    const finished = this.moveToFailedArgs(job, failedReason, removeOnFail, token, false, fields);
    const next = fetchNext && !this.closing ? oneFor(token) : nobody;
    const leaving = { jobId: job.id!, removesJob: true, next };
    const claims = await this.#leave('finish', finished, 'moveToFinished', leaving);
    return { result: next === nobody ? [] : this.#nextJob(claims), finishedOn: finishedOnOf(finished) };
  }

  /**
   * Completes jobs of which nothing is kept, and hands out up to `next.count` others in the same step. `failed` holds, at
   * the place of each job, what BullMQ's moveToCompleted would throw.
   */
  async complete(
    completions: readonly Completion[],
    next = nobody,
  ): Promise<Claims & { failed: (Error | undefined)[] }> {
    const { statuses, claims } = await this.#completePlainly(completions, next, keepNothing);
    const failed = await Promise.all(
      completions.map(async ({ job, token, usage }, place) => {
        const status = statuses[place]!;
        if (status !== 1) return status < 0 ? this.#notCompleted(job, status) : undefined;
        const args = this.moveToCompletedArgs(job, '"ok"', keepNothing, token, false);
        const leaving = { jobId: job.id!, usage, removesJob: true };
        return this.#leave('finish', args, 'moveToFinished', leaving).then(
          () => undefined,
          (error: Error) => error,
        );
      }),
    );
    return { ...claims, failed };
  }

  override async moveToDelayed(
    ...[jobId, timestamp, delay, token = '0', opts = {}]: Parameters<Base['moveToDelayed']>
  ) {
    const args = this.moveToDelayedArgs(jobId, timestamp, token, delay, { ...opts, fetchNext: false });
    const next = opts.fetchNext && !this.closing ? oneFor(token) : nobody;
    const claims = await this.#leave('delay', args, 'moveToDelayed', { jobId, next });
    return next === nobody ? [] : this.#nextJob(claims);
  }

  override async retryJob(...[jobId, lifo, token = '0', opts]: Parameters<Base['retryJob']>): Promise<void> {
    await this.#leave('retry', this.retryJobArgs(jobId, lifo, token, opts), 'retryJob', { jobId });
  }

  override async moveToWaitingChildren(...[jobId, token, opts]: Parameters<Base['moveToWaitingChildren']>) {
    const args = this.moveToWaitingChildrenArgs(jobId, token, opts);
    const { status } = await this.#leave('awaitChildren', args, 'moveToWaitingChildren', {
      jobId,
      staysOn: 1,
    });
    return status === 0;
  }

  override async moveJobFromActiveToWait(jobId: string, token = '0'): Promise<number> {
    const keys = putBackKeys.map((name) => this.keys[name]);
    const flat = [...keys, jobId, token, this.toKey(jobId)];
    return (await this.#leave('putBack', flat, 'moveJobFromActiveToWait', { jobId })).status;
  }

  override async remove(jobId: string, removeChildren: boolean): Promise<number> {
    const flat = this.removeArgs(jobId, removeChildren);
    const status = await this.runScript('remove', {
      ...splitFlat('remove', flat),
      args: { leavingJobId: jobId },
    });
    if (status < 0) throw this.finishedErrors({ code: status, jobId, command: 'removeJob' });
    return status;
  }

  override async drain(delayed: boolean): Promise<void> {
    await super.drain(delayed);
    await this.#clearLanes();
  }

  override async cleanJobsByState(state: string, timestamp: number, limit?: number): Promise<string[]> {
    if (state === 'prioritized') await this.#clearLanes();
    return super.cleanJobsByState(state, timestamp, limit);
  }

  override async obliterate(opts: { force: boolean; count: number }): Promise<number> {
    const left = await super.obliterate(opts);
    if (left === 0) {
      await this.#clearLanes();
      const client = await this.client;
      await client.del(fairKeys(this.keys['']!).leases);
    }
    return left;
  }

  /** Jobs by BullMQ priority; those without one are in lanes too, and counted here. */
  override async getCountsPerPriority(priorities: number[]): Promise<number[]> {
    const client = await this.client;
    const foreign = await super.getCountsPerPriority(priorities);
    const pipeline = client.pipeline();
    for (const priority of priorities) {
      const from = priority * scorePerPriority - ownScores;
      pipeline.runCommand('zcount', [this.keys.prioritized, from, from + scorePerPriority - 1]);
    }
    const counts = (await pipeline.exec()) as [Error | null, number][];
    return foreign.map((count, index) => count + counts[index]![1]);
  }

  /** Completes jobs that leave nothing behind; of one with status 1 there is more, and nothing was done. */
  async #completePlainly(
    completions: readonly Completion[],
    next: ClaimRequest,
    removeOnComplete: boolean | number | KeepJobs | undefined,
  ): Promise<{ statuses: number[]; claims: Claims }> {
    const keep = this.getKeepJobs(removeOnComplete, this.#options.removeOnComplete);
    const nothingDone = {
      statuses: completions.map(() => 1),
      claims: this.#claims(nothingClaimed, nobody, 0),
    };
    if (this.#fair.events || keep.count !== 0 || this.#options.metrics) return nothingDone;
    const rest = completions.flatMap(({ job, token, usage }) => [
      job.id!,
      token,
      usage?.in ?? '',
      usage?.out ?? '',
      this.#unused.get(job.id!) ?? '',
    ]);
    const askedMs = this.#fair.clock.monotonicMs();
    const args = claimArgs(next, this.#options);
    const [statuses, reply] = await this.runScript('complete', { args, rest });
    for (const [place, status] of statuses.entries()) {
      if (status !== 1) this.#forget(completions[place]!.job.id!);
    }
    return { statuses, claims: this.#claims(reply ?? nothingClaimed, next, askedMs) };
  }

  #notCompleted({ id }: MinimalJob, code: number): Error {
    return this.finishedErrors({ code, jobId: id!, command: 'moveToFinished', state: 'active' });
  }

  /** Runs a BullMQ script that takes a job out of the workers' hands, settles its grant, and claims what is next. */
  async #leave(
    name: 'finish' | 'delay' | 'retry' | 'putBack' | 'awaitChildren',
    flat: Flat,
    command: string,
    { jobId, usage, removesJob, staysOn, next = nobody }: Leaving,
  ): Promise<Claims & { status: number }> {
    const args = {
      leavingJobId: jobId,
      usedInput: usage?.in ?? '',
      usedOutput: usage?.out ?? '',
      unused: this.#unused.get(jobId) ?? '',
      removesJob: removesJob ? 1 : 0,
      staysOn: staysOn ?? '',
      ...claimArgs(next, this.#options),
    };
    const askedMs = this.#fair.clock.monotonicMs();
    const [status, reply] = await this.runScript(name, { ...splitFlat(name, flat), args });
    // Also when the lock is lost: the job is no longer this backend's.
    if (status !== staysOn) this.#forget(jobId);
    if (status < 0) throw this.finishedErrors({ code: status, jobId, command, state: 'active' });
    return { status, ...this.#claims(reply ?? nothingClaimed, next, askedMs) };
  }

  #forget(jobId: string): void {
    this.#grants.delete(jobId);
    this.#unused.delete(jobId);
  }

  #claims(reply: DispatchReply, request: ClaimRequest, askedMs: number): Claims {
    const [, , , , waitedFor, tenant] = reply;
    if (waitedFor && tenant) this.#fair.onWait?.(tenant, waitedFor);
    const claims = readClaims(reply, request, askedMs);
    for (const { id, grant } of claims.claimed) this.#grants.set(id, grant);
    return claims;
  }

  /** The reply of BullMQ's moveToActive: `[jobData, id, rateLimitDelay, delayUntil]`. */
  #nextJob({ claimed: [job], comeBackMs, limitedMs, lateMs }: Claims): unknown[] {
    if (job) return [job.json, job.id, 0, 0];
    return [
      null,
      undefined,
      limitedMs,
      comeBackMs === undefined ? 0 : this.#fair.clock.nowMs() + comeBackMs + lateMs,
    ];
  }

  async #clearLanes(): Promise<void> {
    while ((await this.runScript('clear', { args: { jobsMax: jobsClearedAtOnce } })) > 0);
  }

  /** Runs one of our scripts on this queue. */
  async runScript<Name extends FairScriptName>(name: Name, call: FairCall<Name>): Promise<FairReply[Name]> {
    return this.#call(await this.client, name, call, this.keys) as Promise<FairReply[Name]>;
  }

  #call<Name extends FairScriptName>(
    client: Parameters<Base['execCommand']>[0],
    name: Name,
    call: FairCall<Name>,
    keys: KeysMap,
  ): Promise<unknown> {
    return callFairScript(client as RedisClient, name, call, keys['']!, this.#fair);
  }
}

/** Where BullMQ puts the time of the end among the arguments of moveToFinished. */
const finishedOnOf = (flat: Flat) => flat[bullmqKeyCount('finish') + 1] as number;
