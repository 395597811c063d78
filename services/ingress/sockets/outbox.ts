import type { WebSocket } from 'ws';
import type { Clock, Timer } from '#shared/kernel/clock.ts';

const backlogCheckMs = 25;

export interface OutboxOptions {
  clock: Clock;
  maxBytes: number;
  stallMs: number;
  /** The reader stands still. */
  onStall: () => void;
}

/** What goes out over one socket. Whoever has much to say asks for room first; a reader that makes none is cut. */
export class Outbox {
  readonly #socket: WebSocket;
  readonly #options: OutboxOptions;
  #waiting: (() => void)[] = [];
  #timer: Timer | undefined;
  #sinceMs = 0;
  #leastBytes = 0;

  constructor(socket: WebSocket, options: OutboxOptions) {
    this.#socket = socket;
    this.#options = options;
  }

  send(message: Record<string, unknown>): void {
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  /** Resolves when the backlog is small again, or the socket is closed. */
  async room(): Promise<void> {
    if (this.#socket.bufferedAmount <= this.#options.maxBytes) return;
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
      if (!this.#timer) this.#watch();
    });
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #watch(): void {
    const { clock } = this.#options;
    this.#sinceMs = clock.monotonicMs();
    this.#leastBytes = this.#socket.bufferedAmount;
    this.#timer = clock.every(backlogCheckMs, () => this.#check());
  }

  #check(): void {
    const { clock, maxBytes, stallMs, onStall } = this.#options;
    const { bufferedAmount } = this.#socket;
    if (bufferedAmount <= maxBytes) {
      this.close();
    } else if (bufferedAmount < this.#leastBytes) {
      this.#leastBytes = bufferedAmount;
      this.#sinceMs = clock.monotonicMs();
    } else if (clock.monotonicMs() - this.#sinceMs > stallMs) {
      this.close();
      onStall();
    }
  }
}
