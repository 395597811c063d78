import type { Clock, Timer } from '#shared/kernel/clock.ts';

interface Pending {
  dueMs: number;
  task: () => void;
}

/** A clock that only moves when told; timers run in order of their due time. */
export class ManualClock implements Clock {
  #ms = 0;
  #timers: Pending[] = [];
  readonly #startMs = 1_800_000_000_000;

  get pendingTimers(): number {
    return this.#timers.length;
  }

  nowMs(): number {
    return this.#startMs + this.#ms;
  }

  monotonicMs(): number {
    return this.#ms;
  }

  after(delayMs: number, task: () => void): Timer {
    const timer = { dueMs: this.#ms + delayMs, task };
    this.#timers.push(timer);
    const cancel = () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
    return { cancel };
  }

  every(periodMs: number, task: () => void): Timer {
    const again = () => {
      timer = this.after(periodMs, again);
      task();
    };
    let timer = this.after(periodMs, again);
    return { cancel: () => timer.cancel() };
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const timer = this.after(delayMs, resolve);
      const wake = () => {
        timer.cancel();
        resolve();
      };
      signal?.addEventListener('abort', wake, { once: true });
    });
  }

  advance(durationMs: number): void {
    const endMs = this.#ms + durationMs;
    for (;;) {
      const [next] = this.#timers.filter(({ dueMs }) => dueMs <= endMs).sort((a, b) => a.dueMs - b.dueMs);
      if (!next) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#ms = Math.max(this.#ms, next.dueMs);
      next.task();
    }
    this.#ms = endMs;
  }
}
