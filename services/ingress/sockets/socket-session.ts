import type { RawData, WebSocket } from 'ws';
import { type EventPlace, eventId, type JobEvent, readEventId } from '#shared/contracts/job-events.ts';
import type { Timer } from '#shared/kernel/clock.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import { isJobId } from '#shared/kernel/ids.ts';
import { parseUntrustedJson } from '#shared/kernel/json-guard.ts';
import type { Subscription } from '#shared/results/event-feed.ts';
import type { Identity } from '#shared/tenants/virtual-keys.ts';
import { followJob, leaveJob } from '../accept-job.ts';
import { axesOf } from '../call-axes.ts';
import { invalidRequest } from '../call-body.ts';
import { cancelJob } from '../cancel-job.ts';
import type { IngressParts } from '../ingress-parts.ts';
import { eventName, eventOf } from '../job-event.ts';
import { submitJob } from '../routes/jobs.ts';
import { type ClientMessage, clientMessage, closeCodes, namedMax } from './messages.ts';
import { openSource } from './open-source.ts';
import { Outbox } from './outbox.ts';
import { judgeKey, type SocketCaller } from './socket-key.ts';
import { SocketWatches } from './socket-watches.ts';

type Ref = ClientMessage['ref'];
type Subscribe = Extract<ClientMessage, { type: 'subscribe' }>;
type SubscribeJobs = Subscribe & { jobs: string[] };

interface Followed {
  subscription: Subscription;
  /** Said with each event of the job. */
  about?: Record<string, unknown>;
  /** The watch that came upon the job; undefined when it was asked for by its id. */
  watch?: string;
}

/** Timers do not reach further. */
const expiryCheckMaxMs = 86_400_000;
/** How long a client whose key has ended has to take the reason. */
const goodbyeMs = 1_000;
/** Name of the watch of all jobs; no batch has it. */
const allJobs = '*';

/** One open socket: reads what its client says, and sends it the events of the jobs it follows. */
export class SocketSession {
  readonly #parts: IngressParts;
  readonly #socket: WebSocket;
  readonly #identity: Identity;
  readonly #caller: SocketCaller;
  #expiry: Timer | undefined;
  readonly #unwatchKey: () => void;
  readonly #outbox: Outbox;
  readonly #followed = new Map<string, Followed>();
  readonly #watches: SocketWatches;
  #heartbeat: Timer;
  #joining = 0;
  #answered = true;
  #secondStartedMs = 0;
  #saidThisSecond = 0;
  #namedThisSecond = 0;

  /** Serves a socket until it is closed. */
  static open(parts: IngressParts, socket: WebSocket, caller: SocketCaller): void {
    new SocketSession(parts, socket, caller);
  }

  private constructor(parts: IngressParts, socket: WebSocket, caller: SocketCaller) {
    const { clock, settings } = parts;
    const { buffer_max_bytes, stall_ms, heartbeat_ms } = settings.sockets;
    this.#parts = parts;
    this.#socket = socket;
    this.#caller = caller;
    this.#identity = caller.key.identity;
    this.#outbox = new Outbox(socket, {
      clock,
      maxBytes: buffer_max_bytes,
      stallMs: stall_ms,
      onStall: () => this.#cut(closeCodes.stalled, 'the reader took nothing for too long'),
    });
    this.#watches = new SocketWatches({
      clock,
      room: () => settings.sockets.subscriptions_max - this.#followed.size - this.#joining,
      follow: ({ id, about }, watch) => this.#follow(id, undefined, undefined, { about, watch }),
      onOver: (over) => this.#outbox.send({ type: 'over', ...over }),
      onError: (error, watch) => this.#sendError(error, watch === allJobs ? { all: true } : { batch: watch }),
    });
    this.#heartbeat = clock.every(heartbeat_ms, () => this.#beat());
    socket.on('pong', () => {
      this.#answered = true;
    });
    socket.on('message', (data, isBinary) => this.#hear(data, isBinary));
    socket.on('close', () => this.#end());
    this.#unwatchKey = parts.watchKeys(() => this.#judgeKey());
    this.#judgeKey();
    // The library closes the socket itself, with the code that says why.
    socket.on('error', () => undefined);
  }

  #beat(): void {
    if (!this.#answered) this.#cut(closeCodes.silent, 'no answer to a ping');
    else this.#socket.ping();
    this.#answered = false;
  }

  /** Closes with a reason; a client that does not take even that is dropped. */
  #cut(code: number, reason: string): void {
    this.#socket.close(code, reason);
    if (code === closeCodes.stalled || code === closeCodes.silent) this.#socket.terminate();
  }

  /** Goes on with the key as it stands now, or not at all. */
  #judgeKey(): void {
    const { clock } = this.#parts;
    const verdict = judgeKey(this.#parts, this.#caller);
    if ('code' in verdict) {
      this.#turnOut(verdict);
      return;
    }
    this.#caller.key = verdict.key;
    this.#expiry?.cancel();
    const { expiresAtMs } = verdict.key;
    if (expiresAtMs === undefined) return;
    const leftMs = Math.min(expiresAtMs - clock.nowMs(), expiryCheckMaxMs);
    this.#expiry = clock.after(leftMs, () => this.#judgeKey());
  }

  /** Says nothing more and hears nothing more, whether or not the client agrees to the close. */
  #turnOut({ code, reason }: { code: number; reason: string }): void {
    this.#end();
    this.#cut(code, reason);
    this.#parts.clock.after(goodbyeMs, () => this.#socket.terminate());
  }

  #end(): void {
    this.#heartbeat.cancel();
    this.#expiry?.cancel();
    this.#unwatchKey();
    this.#outbox.close();
    this.#watches.closeAll();
    for (const jobId of [...this.#followed.keys()]) this.#unfollow(jobId);
  }

  #hear(data: RawData, isBinary: boolean): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    const { clock, settings } = this.#parts;
    const now = clock.monotonicMs();
    if (now - this.#secondStartedMs >= 1_000) {
      this.#secondStartedMs = now;
      this.#saidThisSecond = 0;
      this.#namedThisSecond = 0;
    }
    const tooMany = ++this.#saidThisSecond > settings.sockets.messages_per_second;
    if (tooMany) this.#cut(closeCodes.tooMany, 'too many messages');
    else if (isBinary) this.#cut(closeCodes.notText, 'send JSON as text');
    else void this.#answer(data as Buffer);
  }

  async #answer(data: Buffer): Promise<void> {
    let ref: Ref;
    try {
      const said = parseUntrustedJson(data, this.#parts.settings.http.body_max_depth);
      ref = refOf(said);
      const parsed = clientMessage.safeParse(said);
      if (!parsed.success) throw invalidRequest(parsed.error);
      await this.#obey(parsed.data);
    } catch (error) {
      this.#sendError(error, { ref });
    }
  }

  async #obey(message: ClientMessage): Promise<void> {
    const { ref } = message;
    const { tenant } = this.#identity;
    switch (message.type) {
      case 'ping':
        return this.#outbox.send({ type: 'pong', ref });
      case 'subscribe':
        return this.#subscribe(message);
      case 'unsubscribe':
        return this.#unsubscribe(message);
      case 'submit': {
        const { identity, access } = this.#caller.key;
        const caller = { tenant, axes: axesOf(identity), access };
        const jobId = await submitJob(this.#parts, caller, message.job, undefined);
        this.#outbox.send({ type: 'submitted', ref, job: jobId });
        if (message.subscribe) await this.#follow(jobId, undefined, ref);
        return;
      }
      case 'cancel': {
        const state = await cancelJob(this.#parts, tenant, known(message.job));
        return this.#outbox.send({ type: 'cancelling', ref, job: message.job, state });
      }
    }
  }

  async #subscribe(message: Subscribe): Promise<void> {
    const { ref, jobs, batch, all } = message;
    refuseAmbiguous(message);
    if (jobs) return this.#subscribeJobs({ ...message, jobs });
    const source = await openSource(this.#parts, this.#identity.tenant, message);
    if (this.#socket.readyState !== this.#socket.OPEN) return source.close();
    this.#watches.open(batch ?? allJobs, source);
    this.#outbox.send({ type: 'subscribed', ref, batch, all });
  }

  #unsubscribe(message: Extract<ClientMessage, { type: 'unsubscribe' }>): void {
    const { ref, jobs = [], batch, all } = message;
    refuseAmbiguous(message);
    const watch = all ? allJobs : batch;
    if (watch !== undefined) this.#watches.close(watch);
    for (const [jobId, followed] of this.#followed)
      if (watch !== undefined && followed.watch === watch) this.#unfollow(jobId);
    for (const jobId of jobs) this.#unfollow(jobId);
    this.#outbox.send({ type: 'unsubscribed', ref, jobs: message.jobs, batch, all });
  }

  /** One job that cannot be followed leaves the others alone. */
  async #subscribeJobs(message: SubscribeJobs): Promise<void> {
    const { ref } = message;
    // Each costs the store a look, also one that does not exist.
    this.#namedThisSecond += message.jobs.length;
    if (this.#namedThisSecond > Math.max(namedMax, this.#parts.settings.sockets.subscriptions_max))
      return this.#cut(closeCodes.tooMany, 'too many jobs named');
    const followed = await Promise.all(
      message.jobs.map(async (job) => {
        try {
          await this.#follow(job, afterOf(message, job), ref);
          return [job];
        } catch (error) {
          this.#sendError(error, { ref, job });
          return [];
        }
      }),
    );
    this.#outbox.send({ type: 'subscribed', ref, jobs: followed.flat() });
  }

  async #follow(
    jobId: string,
    after: EventPlace | undefined,
    ref: Ref,
    found?: Pick<Followed, 'about' | 'watch'>,
  ): Promise<void> {
    if (this.#followed.has(known(jobId))) return;
    const limit = this.#parts.settings.sockets.subscriptions_max;
    // Watches ask for room before they look for jobs.
    if (!found && this.#followed.size + this.#joining >= limit)
      throw new SluiceError('too_many_subscriptions', { fields: { limit } });
    const { tenant } = this.#identity;
    const { reread_ms } = this.#parts.settings.sockets;
    this.#joining++;
    const subscription = await followJob(this.#parts, tenant, jobId, reread_ms).finally(
      () => this.#joining--,
    );
    const unwanted = found?.watch !== undefined && !this.#watches.has(found.watch);
    const gone = unwanted || this.#socket.readyState !== this.#socket.OPEN;
    if (gone || this.#followed.has(jobId)) return subscription.close();
    const followed = { subscription, ...found };
    this.#followed.set(jobId, followed);
    void this.#pump(jobId, followed, after, ref);
  }

  async #pump(jobId: string, followed: Followed, after: EventPlace | undefined, ref: Ref): Promise<void> {
    try {
      for await (const event of followed.subscription.events(after)) {
        this.#outbox.send({ ...eventMessage(jobId, event), ...followed.about });
        await this.#outbox.room();
      }
    } catch (error) {
      if (error instanceof SluiceError && error.code === 'shutting_down')
        return this.#cut(closeCodes.goingAway, 'this server is stopping');
      this.#sendError(error, { ref, job: jobId });
    } finally {
      if (this.#followed.get(jobId) === followed) this.#unfollow(jobId);
    }
  }

  #unfollow(jobId: string): void {
    const followed = this.#followed.get(jobId);
    this.#followed.delete(jobId);
    if (!followed) return;
    followed.subscription.close();
    void leaveJob(this.#parts, this.#identity.tenant, jobId);
  }

  #sendError(error: unknown, about: Record<string, unknown>): void {
    const known =
      error instanceof SluiceError
        ? error
        : new SluiceError('internal', { fields: { request: 'of this socket' }, cause: error });
    const { code, message, param } = known;
    this.#outbox.send({ type: 'error', ...about, code, message, ...(param ? { param } : {}) });
  }
}

function eventMessage(job: string, event: JobEvent): Record<string, unknown> {
  return { type: 'event', job, event: eventName(event), id: eventId(event.place), data: eventOf(job, event) };
}

/** @throws SluiceError job_not_found */
function known(jobId: string): string {
  if (!isJobId(jobId)) throw new SluiceError('job_not_found', { fields: { job: jobId }, param: 'jobs' });
  return jobId;
}

/** @throws SluiceError invalid_request */
function refuseAmbiguous({ jobs, batch, all }: { jobs?: unknown; batch?: unknown; all?: unknown }): void {
  if ([jobs, batch, all].filter((each) => each !== undefined).length === 1) return;
  throw new SluiceError('invalid_request', { fields: { reason: 'name either jobs, or batch, or all' } });
}

/** The ref of a message that may not be valid otherwise. */
function refOf(said: unknown): Ref {
  const ref = typeof said === 'object' && said !== null ? (said as { ref?: unknown }).ref : undefined;
  return typeof ref === 'string' || typeof ref === 'number' ? ref : undefined;
}

/** @throws SluiceError invalid_request */
function afterOf({ after, jobs }: SubscribeJobs, jobId: string): EventPlace | undefined {
  const id = typeof after === 'object' ? after[jobId] : after?.toString();
  if (id === undefined) return undefined;
  const place = readEventId(id);
  const ambiguous = typeof after === 'string' && jobs.length > 1;
  if (place && !ambiguous) return place;
  const reason = ambiguous ? 'after: give one id for each job' : 'after: not the id of an event sent here';
  throw new SluiceError('invalid_request', { fields: { reason }, param: 'after' });
}
