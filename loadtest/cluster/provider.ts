import { systemClock } from '#shared/kernel/clock.ts';
import type { LimitsInput } from '../simulator/limits/limits-schema.ts';
import type { Child, Children } from './children.ts';

const pollMs = 50;

/** The provider simulator as a process, and its control interface. */
export class Provider {
  readonly url: string;
  readonly child: Child;

  private constructor(child: Child, url: string) {
    this.child = child;
    this.url = url;
  }

  static async start(children: Children, seed: number): Promise<Provider> {
    const child = await children.node({
      name: 'simulator',
      args: ['loadtest/simulator/main.ts', '--port', '0', '--seed', String(seed), '--exit-with-parent'],
      ready: /listening on http/,
    });
    const [url] = /http:\/\/\S+/.exec(child.readyLine) ?? [];
    return new Provider(child, url!);
  }

  limit(limits: LimitsInput): Promise<unknown> {
    return this.#control('PUT', '/_sim/limits', limits);
  }

  answerAfter(firstByteMs: number): Promise<unknown> {
    return this.#control('PUT', '/_sim/latency', { firstByteMs, jitter: 0.2 });
  }

  fault(times: number, fault: Record<string, unknown>): Promise<unknown> {
    return this.#control('POST', '/_sim/faults', { times, fault });
  }

  /** Calls that have arrived. */
  async total(): Promise<number> {
    return ((await this.#control('GET', '/_sim/summary')) as { total: number }).total;
  }

  /** Resolves when the first call has arrived. */
  async firstArrival(timeoutMs: number): Promise<void> {
    await this.#poll(timeoutMs, 'No call arrived at the provider', ({ total }) => total > 0);
  }

  /** Resolves when nothing is in flight, or after `timeoutMs`: a drain goes on while its arrivals are read. */
  async calm(timeoutMs: number): Promise<void> {
    await this.#poll(timeoutMs, '', ({ inFlight }) => inFlight === 0).catch(() => undefined);
  }

  async #poll(
    timeoutMs: number,
    otherwise: string,
    isThere: (summary: { total: number; inFlight: number }) => boolean,
  ): Promise<void> {
    const giveUpMs = systemClock.monotonicMs() + timeoutMs;
    for (;;) {
      const summary = (await this.#control('GET', '/_sim/summary')) as { total: number; inFlight: number };
      if (isThere(summary)) return;
      if (systemClock.monotonicMs() > giveUpMs) throw new Error(`${otherwise} within ${timeoutMs} ms.`);
      await systemClock.sleep(pollMs);
    }
  }

  async #control(method: string, path: string, body?: unknown): Promise<unknown> {
    const response = await fetch(`${this.url}${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const answer: unknown = await response.json();
    if (!response.ok) throw new Error(`The simulator refused ${method} ${path}: ${JSON.stringify(answer)}`);
    return answer;
  }
}
