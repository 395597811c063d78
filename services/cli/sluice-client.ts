import { z } from 'zod';
import type { Clock } from '#shared/kernel/clock.ts';
import { CliError, exitCodes } from './cli-error.ts';

export interface ClientOptions {
  url: string;
  /** Unset for the operations port. */
  key: string | undefined;
  clock: Clock;
  say: (text: string) => void;
}

export interface AskOptions {
  method?: string;
  headers?: Record<string, string>;
  /** Sent as JSON. */
  body?: unknown;
  form?: FormData;
  /** Longest time until the answer begins; 0: any. */
  answerMs?: number;
  signal?: AbortSignal;
  /** Whether an answer that is not 2xx is what was asked for. */
  isWanted?: (response: Response) => boolean;
}

/** Longest time until Sluice begins to answer an ordinary request. */
const answerMs = 30_000;
/** How long a command that watches something outlasts a Sluice that is away, and how often it tries. */
const awayMaxMs = 600_000;
const awayFirstMs = 250;
const awayPauseMaxMs = 5_000;

const openaiError = z.object({ error: z.object({ message: z.string(), code: z.string().nullish() }) });
const problem = z.object({ title: z.string(), code: z.string().optional() });

/** The public API of a running Sluice. */
export class SluiceClient {
  readonly url: string;
  readonly #options: ClientOptions;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.url = options.url.replace(/\/+$/, '');
  }

  /** @throws CliError for every answer but 2xx, and when there is none */
  async ask(path: string, options: AskOptions = {}): Promise<Response> {
    const { method = 'GET', body, form, signal } = options;
    const { key, clock } = this.#options;
    const headers = {
      ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...options.headers,
    };
    const content = form ?? (body === undefined ? null : JSON.stringify(body));
    // The body of an answer may take as long as it likes; only its beginning is waited for with a bound.
    const patience = new AbortController();
    const waitMs = options.answerMs ?? answerMs;
    const timer = waitMs > 0 ? clock.after(waitMs, () => patience.abort()) : undefined;
    const signals = [patience.signal, ...(signal ? [signal] : [])];
    let response: Response;
    try {
      response = await fetch(`${this.url}${path}`, {
        method,
        headers,
        body: content,
        signal: AbortSignal.any(signals),
      });
    } catch (error) {
      throw this.#unreachable(error);
    } finally {
      timer?.cancel();
    }
    if (!response.ok && !options.isWanted?.(response)) throw await refusal(response);
    return response;
  }

  async askJson<T>(path: string, schema: z.ZodType<T>, options: AskOptions = {}): Promise<T> {
    const response = await this.ask(path, options);
    const parsed = schema.safeParse(await response.json().catch(() => undefined));
    if (parsed.success) return parsed.data;
    throw new CliError(exitCodes.failed, `${this.url}${path} did not answer as Sluice does.`);
  }

  /** Repeats what may be repeated while Sluice is away, restarts, or asks to come back later; with a bound. */
  async patiently<T>(attempt: () => Promise<T>, stop?: AbortSignal): Promise<T> {
    const { clock, say } = this.#options;
    const giveUpAt = clock.monotonicMs() + awayMaxMs;
    let said = false;
    for (let pauseMs = awayFirstMs; ; pauseMs = Math.min(2 * pauseMs, awayPauseMaxMs)) {
      try {
        return await attempt();
      } catch (error) {
        const passing = error instanceof CliError && error.exitCode === exitCodes.unreachable;
        if (!passing || stop?.aborted || clock.monotonicMs() + pauseMs > giveUpAt) throw error;
        if (!said) say(`${error.message} Trying again …`);
        said = true;
      }
      await clock.sleep(pauseMs, stop);
    }
  }

  #unreachable(error: unknown): CliError {
    const cause = (error as { cause?: { code?: string; message?: string } }).cause;
    const reason = cause?.code ?? cause?.message ?? (error as Error).message;
    return new CliError(exitCodes.unreachable, `No Sluice answers at ${this.url} (${reason}).`, {
      hint: 'Start one with `npm start`, or name another one with --url.',
      code: 'unreachable',
    });
  }
}

/** Whether the answer says "not now" rather than "no". */
const isPassing = (status: number) => status === 429 || status === 502 || status === 503 || status === 504;

async function refusal(response: Response): Promise<CliError> {
  const text = await response.text().catch(() => '');
  const { message, code } = readError(text) ?? { message: text.slice(0, 300), code: undefined };
  const said = message === '' ? `Sluice answered ${response.status}.` : message;
  const more = code ? { code } : {};
  if (response.status === 401)
    return new CliError(exitCodes.keyRefused, said, { ...more, hint: 'Name another key with --key.' });
  return new CliError(isPassing(response.status) ? exitCodes.unreachable : exitCodes.failed, said, more);
}

function readError(text: string): { message: string; code: string | undefined } | undefined {
  try {
    const body: unknown = JSON.parse(text);
    const { error } = openaiError.safeParse(body).data ?? {};
    if (error) return { message: error.message, code: error.code ?? undefined };
    const { title, code } = problem.parse(body);
    return { message: title, code };
  } catch {
    return undefined;
  }
}
