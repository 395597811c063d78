import type { CompiledCeiling, CompiledPool } from '#shared/queue/fair/pool-config.ts';
import { reservationOf } from '#shared/queue/fair/publish-pool.ts';
import { ModelWindow } from './window-model.ts';

export interface ModelCall {
  tenant: string;
  class: number;
  input: number;
  output: number;
  max: number;
  deadlineMs?: number | undefined;
}

interface WaitingJob {
  id: string;
  sequence: number;
  dueSeconds: number;
  call: ModelCall;
}

interface Lane {
  counter: number;
  lift: number;
  running: number;
  /** Sequence of the job it last got work with; undefined while it does not take part. */
  joined: number | undefined;
  parked: boolean;
  jobs: WaitingJob[];
}

interface Held {
  job: WaitingJob;
  timeMs: number;
  weight: number;
  cost: number;
  scope: string | undefined;
  reservation: number[];
}

export interface ModelTenant {
  weight: number;
  concurrency: number;
  paused: boolean;
}

export type Handed = { id: string; credential: string | undefined };

const everyTenant: ModelTenant = { weight: 1, concurrency: 0, paused: false };
const concurrency = 5;
const heldClockMs = 1_000;

const earlier = (one: WaitingJob, other: WaitingJob) =>
  one.call.class - other.call.class || one.dueSeconds - other.dueSeconds || one.sequence - other.sequence;

/**
 * What a pool should do, written for reading: lists that are sorted and sums that are added up anew each time, no
 * indexes, no caches, no Redis. It is the judge of the scripts and shares nothing with them but the settings.
 */
export class FairModel {
  readonly lanes = new Map<string, Lane>();
  readonly tenants = new Map<string, ModelTenant>();
  readonly held = new Map<string, Held>();
  readonly pool: CompiledPool;
  readonly cooldowns = new Map<string, number>();
  virtualTime = 0;
  /** Came back, and enter their lanes when somebody looks; the last one first. */
  readonly #returned: WaitingJob[] = [];
  #windows = new Map<string, ModelWindow>();
  #lastUse = new Map<string, number>();
  #uses = 0;
  #sequence = 0;
  #seenMs = 0;
  #nowMs = 0;

  constructor(pool: CompiledPool) {
    this.pool = pool;
  }

  add(id: string, call: ModelCall, nowMs: number): void {
    if (call.deadlineMs !== undefined) this.#look(nowMs);
    const dueMs =
      call.deadlineMs === undefined ? nowMs : Math.max(0, call.deadlineMs - this.pool.deadlineLeadMs);
    this.#sequence++;
    this.#enter({ id, sequence: this.#sequence, dueSeconds: Math.floor(dueMs / 1_000), call });
  }

  /** Up to `count` jobs, and how long until it is worth asking again. */
  dispatch(count: number, nowMs: number): { handed: Handed[]; comeBackMs: number | 'some time' | undefined } {
    this.#look(nowMs);
    while (this.#returned.length > 0) this.#enter(this.#returned.pop()!);
    const handed: Handed[] = [];
    while (handed.length < count) {
      const lane = this.#firstLane();
      if (!lane) break;
      const outcome = this.#serve(...lane);
      if (typeof outcome === 'number')
        return { handed, comeBackMs: outcome < Number.POSITIVE_INFINITY ? outcome - nowMs : 'some time' };
      if (outcome) handed.push(outcome);
    }
    return { handed, comeBackMs: undefined };
  }

  complete(id: string, usage: { in: number; out: number } | undefined, nowMs: number): void {
    const { inputWeight, outputWeight } = this.pool;
    const { cost, weight } = this.held.get(id)!;
    const delta = usage ? (inputWeight * usage.in + outputWeight * usage.out - cost) / weight : 0;
    const held = this.#release(id, delta);
    const settled = usage && this.#settlement(usage);
    if (!held.scope || !settled) return;
    this.#look(nowMs);
    this.#settle(held, ...settled);
  }

  /** A call that was sent comes back, and is charged anew when it is handed out again. */
  putBack(id: string, unused: 'output' | undefined, nowMs: number): void {
    const { cost, weight } = this.held.get(id)!;
    const held = this.#release(id, -cost / weight);
    this.#returned.push(held.job);
    const settled = unused && this.#settlement({ in: held.job.call.input, out: 0 });
    if (!held.scope || !settled) return;
    this.#look(nowMs);
    this.#settle(held, ...settled);
  }

  giveBack(id: string, nowMs: number): void {
    const { cost, weight } = this.held.get(id)!;
    const held = this.#release(id, -cost / weight);
    if (held.scope) {
      this.#look(nowMs);
      this.#settle(held, [0, 0, 0, 0], [0, 0, 0, 0]);
    }
    this.#enter(held.job);
  }

  publishTenant(tenant: string, settings: ModelTenant, nowMs: number): void {
    this.tenants.set(tenant, settings);
    const lane = this.lanes.get(tenant);
    if (lane?.parked) this.#unpark(lane);
    this.#look(nowMs);
  }

  coolDown(credential: string, untilMs: number, nowMs: number): void {
    this.#look(nowMs);
    this.cooldowns.set(credential, Math.max(untilMs, this.cooldowns.get(credential) ?? 0));
    const { scope } = this.pool.credentials.find(({ id }) => id === credential)!;
    for (const ceiling of this.#ceilings(scope)) this.#window(ceiling).refused(this.#nowMs);
  }

  /** Lanes that take part, in the order in which they are served. */
  competing(): [string, Lane][] {
    const lanes = [...this.lanes].filter(([, lane]) => lane.joined !== undefined);
    return lanes.sort(([, one], [, other]) => one.counter - other.counter || one.joined! - other.joined!);
  }

  waiting(): number {
    return [...this.lanes.values()].reduce((sum, { jobs }) => sum + jobs.length, 0);
  }

  #look(nowMs: number): void {
    if (nowMs < this.#seenMs - heldClockMs) {
      for (const window of this.#windows.values()) window.pacedUntilMs = undefined;
      this.#seenMs = nowMs;
    }
    this.#nowMs = Math.max(nowMs, this.#seenMs);
  }

  #enter(job: WaitingJob): void {
    const { tenant } = job.call;
    const lane = this.lanes.get(tenant) ?? {
      counter: 0,
      lift: 0,
      running: 0,
      joined: undefined,
      parked: false,
      jobs: [],
    };
    this.lanes.set(tenant, lane);
    lane.jobs.push(job);
    lane.jobs.sort(earlier);
    if (lane.joined === undefined && !lane.parked) this.#join(lane, job.sequence);
  }

  #join(lane: Lane, sequence: number): void {
    lane.lift = Math.min(this.virtualTime, this.competing()[0]?.[1].counter ?? this.virtualTime);
    lane.counter = Math.max(lane.counter, lane.lift);
    lane.joined = sequence;
  }

  #unpark(lane: Lane): void {
    lane.parked = false;
    if (lane.jobs[0]) this.#join(lane, lane.jobs[0].sequence);
  }

  #firstLane(): [string, Lane] | undefined {
    return this.competing()[0];
  }

  /** Serves a lane once: a job; undefined when the lane was parked; or when its head will fit. */
  #serve(tenant: string, lane: Lane): Handed | undefined | number {
    const { weight, concurrency: atOnce, paused } = this.tenants.get(tenant) ?? everyTenant;
    if (paused || (atOnce > 0 && lane.running >= atOnce)) {
      lane.parked = true;
      lane.joined = undefined;
      return undefined;
    }
    const job = lane.jobs[0]!;
    const reservation = reservationOf(this.pool, job.call);
    const choice = this.#choose(reservation);
    if (typeof choice === 'number') return choice;
    lane.jobs.shift();
    const cost = this.pool.inputWeight * job.call.input + this.pool.outputWeight * job.call.output;
    const scope = choice?.scope;
    const timeMs = this.#nowMs;
    this.held.set(job.id, { job, timeMs, weight, cost, scope, reservation: [...reservation] });
    if (choice) this.#charge(choice, reservation);
    this.virtualTime = Math.max(this.virtualTime, lane.counter);
    lane.counter += cost / weight;
    lane.running++;
    if (lane.jobs.length === 0) lane.joined = undefined;
    return { id: job.id, credential: choice?.id };
  }

  #choose(reservation: readonly number[]): CompiledPool['credentials'][number] | undefined | number {
    if (this.pool.credentials.length === 0) return undefined;
    const offers = this.pool.credentials.map((credential) => {
      const fits = this.#scopeFits(credential.scope, reservation);
      const atMs = Math.max(fits.atMs, this.cooldowns.get(credential.id) ?? 0);
      return { credential, atMs, room: fits.room, lastUse: this.#lastUse.get(credential.id) ?? 0 };
    });
    const now = offers.filter(({ atMs }) => atMs <= this.#nowMs);
    now.sort(
      (one, other) =>
        other.room - one.room ||
        other.credential.weight - one.credential.weight ||
        one.lastUse - other.lastUse,
    );
    if (now[0]) return now[0].credential;
    return Math.min(...offers.map(({ atMs }) => atMs));
  }

  #ceilings(scope: string): CompiledCeiling[] {
    return this.pool.scopes[scope] ?? [];
  }

  #window(ceiling: CompiledCeiling): ModelWindow {
    const onForget = (nowMs: number) => {
      this.#seenMs = nowMs;
    };
    const known = this.#windows.get(ceiling.key) ?? new ModelWindow(ceiling, onForget);
    this.#windows.set(ceiling.key, known);
    return known;
  }

  #running(scope: string): number {
    return [...this.held.values()].filter((held) => held.scope === scope).length;
  }

  #scopeFits(scope: string, reservation: readonly number[]): { atMs: number; room: number } {
    let atMs = this.#nowMs;
    let room = 1;
    for (const ceiling of this.#ceilings(scope)) {
      const cost = reservation[ceiling.dimension - 1]!;
      if (cost === 0) continue;
      if (ceiling.dimension === concurrency) {
        const free = ceiling.amount - this.#running(scope) - cost;
        if (free < 0) atMs = Number.POSITIVE_INFINITY;
        room = Math.min(room, Math.max(0, free) / ceiling.amount);
      } else {
        const fits = this.#window(ceiling).fits(cost, this.#nowMs);
        atMs = Math.max(atMs, fits.atMs);
        room = Math.min(room, fits.room);
      }
    }
    return { atMs: Number.isFinite(atMs) ? this.#slicesFit(scope, reservation, atMs) : atMs, room };
  }

  /** The first time from `fromMs` on at which every slice is open. */
  #slicesFit(scope: string, reservation: readonly number[], fromMs: number): number {
    const counted = this.#ceilings(scope).filter(({ dimension }) => reservation[dimension - 1]! > 0);
    const latest = counted.reduce(
      (atMs, ceiling) =>
        this.#window(ceiling).sliceAdmitsMs(reservation[ceiling.dimension - 1]!, atMs, this.#nowMs),
      fromMs,
    );
    return latest === fromMs ? latest : this.#slicesFit(scope, reservation, latest);
  }

  #charge({ id, scope }: { id: string; scope: string }, reservation: readonly number[]): void {
    for (const ceiling of this.#ceilings(scope)) {
      if (ceiling.dimension !== concurrency)
        this.#window(ceiling).charge(reservation[ceiling.dimension - 1]!, this.#nowMs);
    }
    this.#uses++;
    this.#lastUse.set(id, this.#uses);
    this.#seenMs = this.#nowMs;
  }

  #release(id: string, delta: number): Held {
    const held = this.held.get(id)!;
    this.held.delete(id);
    const lane = this.lanes.get(held.job.call.tenant)!;
    lane.running--;
    if (delta !== 0) lane.counter = Math.max(lane.counter + delta, lane.lift);
    if (lane.parked) this.#unpark(lane);
    return held;
  }

  #settlement(usage: { in: number; out: number }): [number[], number[]] | undefined {
    const { accounting, burndown } = this.pool;
    if (accounting === 'input_plus_output_actual')
      return [
        [1, usage.in, usage.in, 0],
        [0, usage.out, 0, usage.out],
      ];
    if (accounting === 'input_only')
      return [
        [1, usage.in, usage.in, 0],
        [0, 0, 0, 0],
      ];
    if (accounting !== 'bedrock') return undefined;
    const out = Math.ceil(usage.out * burndown);
    return [
      [1, usage.in + out, usage.in, out],
      [0, 0, 0, 0],
    ];
  }

  #settle(held: Held, atStart: number[], atEnd: number[]): void {
    for (const ceiling of this.#ceilings(held.scope!)) {
      if (ceiling.dimension === concurrency) continue;
      const index = ceiling.dimension - 1;
      const surplus = held.reservation[index]! - atStart[index]!;
      const window = this.#window(ceiling);
      window.charge(Math.max(0, -surplus) + atEnd[index]!, this.#nowMs);
      if (surplus > 0) window.refund(surplus, held.timeMs, this.#nowMs);
    }
    this.#seenMs = this.#nowMs;
  }
}
