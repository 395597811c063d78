import type { FastifyReply } from 'fastify';
import type { Clock, Timer } from '#shared/kernel/clock.ts';

const streamHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  // Asks proxies (nginx and those that copied it) to hold nothing back.
  'x-accel-buffering': 'no',
};

export interface EventStreamOptions {
  clock: Clock;
  /** A reader that takes nothing for this long is cut, milliseconds. */
  stallMs: number;
  /** Something is said at least this often, milliseconds. */
  quietMs: number;
  /** What to say, as a comment, when there was nothing else to say. */
  comment: () => Promise<string>;
}

/**
 * A response made of server-sent events. Nothing is sent before the first event or comment, so that until then an error
 * can still be an HTTP error. Writes wait for a reader that is slow, and cut one that stands still.
 */
export class EventStream {
  readonly #reply: FastifyReply;
  readonly #options: EventStreamOptions;
  #quiet: Timer;
  #writing = false;
  #midEvent = false;
  #ended = false;
  /** Whether anything was sent. */
  opened = false;
  /** The reader was cut off by us. */
  stalled = false;

  constructor(reply: FastifyReply, options: EventStreamOptions) {
    this.#reply = reply;
    this.#options = options;
    this.#quiet = this.#listen();
  }

  /** Sends text or bytes; false when the reader is gone. */
  async write(bytes: Buffer | string): Promise<boolean> {
    const { raw } = this.#reply;
    if (raw.destroyed) return false;
    this.#open();
    this.#quiet.cancel();
    this.#writing = true;
    this.#midEvent = !endsEvent(bytes);
    const taken = raw.write(bytes) || (await this.#drained());
    this.#writing = false;
    this.#quiet = this.#listen();
    return taken;
  }

  /** Nothing is said from here on. A response that was not opened is left to others. */
  end(): void {
    this.#ended = true;
    this.#quiet.cancel();
    if (this.opened && !this.#reply.raw.destroyed) this.#reply.raw.end();
  }

  #open(): void {
    if (this.opened) return;
    this.opened = true;
    this.#reply.hijack();
    const headers = { ...this.#reply.getHeaders(), ...streamHeaders };
    this.#reply.raw.writeHead(200, headers as Record<string, string>);
    this.#reply.raw.socket?.setNoDelay(true);
  }

  #listen(): Timer {
    return this.#options.clock.after(this.#options.quietMs, () => void this.#say());
  }

  async #say(): Promise<void> {
    const comment = await this.#options.comment().catch(() => 'waiting');
    const { raw } = this.#reply;
    if (this.#writing || this.#ended || raw.destroyed) return;
    if (this.#midEvent) this.#quiet = this.#listen();
    else await this.write(`: ${comment}\n\n`);
  }

  #drained(): Promise<boolean> {
    const { raw } = this.#reply;
    return new Promise((resolve) => {
      const done = (taken: boolean) => {
        timer.cancel();
        raw.off('drain', onDrain).off('close', onClose);
        resolve(taken);
      };
      const onDrain = () => done(true);
      const onClose = () => done(false);
      const timer = this.#options.clock.after(this.#options.stallMs, () => {
        this.stalled = true;
        raw.destroy();
      });
      raw.once('drain', onDrain).once('close', onClose);
    });
  }
}

const endsEvent = (bytes: Buffer | string) => {
  const end = bytes.slice(-3).toString();
  return end.endsWith('\n\n') || end.endsWith('\n\r\n');
};
