import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import type { z } from 'zod';
import { systemClock } from '#shared/kernel/clock.ts';
import type { Claims, Completion, Unused } from '#shared/queue/fair/claims.ts';
import { createFairBackend } from '#shared/queue/fair/create-fair-backend.ts';
import type { FairQueueBackend } from '#shared/queue/fair/fair-backend.ts';
import type { poolSettingsSchema } from '#shared/queue/fair/pool-config.ts';
import { publishPool } from '#shared/queue/fair/publish-pool.ts';

export interface FairCall {
  tenant: string;
  class?: number;
  input?: number;
  output?: number;
  max?: number;
  deadline?: number | undefined;
}

let pools = 0;

/** A pool on a real Redis whose clock the test moves. */
export class FairPool {
  nowMs = 1_700_000_000_000;
  readonly queue: Queue;
  readonly backend: FairQueueBackend;
  #tokens = 0;
  readonly #tokenOf = new Map<string, string>();

  private constructor(redis: Redis) {
    const factory = createFairBackend({ clock: systemClock, events: false, suppliedNowMs: () => this.nowMs });
    const options = { connection: redis, prefix: '{fair}', lockDuration: 600_000 };
    const queue = new Queue(`pool-${pools++}`, options, factory);
    this.queue = queue as unknown as Queue;
    this.backend = queue.getBackend();
  }

  static async open(redis: Redis, settings?: z.input<typeof poolSettingsSchema>): Promise<FairPool> {
    const pool = new FairPool(redis);
    await pool.queue.waitUntilReady();
    if (settings) await publishPool(pool.backend, settings);
    return pool;
  }

  async add(id: string, call: FairCall): Promise<void> {
    await this.queue.add('call', call, { jobId: id });
  }

  async claim(count: number): Promise<Claims> {
    const claims = await this.backend.claim({ count, tokenPrefix: 't', tokenFrom: this.#tokens });
    this.#tokens += count;
    for (const { id, token } of claims.claimed) this.#tokenOf.set(id, token);
    return claims;
  }

  tokenOf(id: string): string {
    return this.#tokenOf.get(id)!;
  }

  async complete(id: string, usage?: { in: number; out: number }): Promise<void> {
    const job = { id, opts: {} } as Completion['job'];
    const { failed } = await this.backend.complete([{ job, token: this.tokenOf(id), usage }]);
    if (failed[0]) throw failed[0];
  }

  async putBack(id: string, unused: Unused | undefined): Promise<void> {
    this.backend.noteUnused(id, unused);
    await this.backend.moveJobFromActiveToWait(id, this.tokenOf(id));
  }

  async giveBack(id: string): Promise<void> {
    await this.putBack(id, 'all');
  }

  async close(): Promise<void> {
    await this.queue.obliterate({ force: true }).catch(() => undefined);
    await this.queue.close();
  }
}
