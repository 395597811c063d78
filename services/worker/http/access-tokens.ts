import type { AuthClient } from 'google-auth-library';
import type { Clock } from '#shared/kernel/clock.ts';
import { TransportError } from './transport-error.ts';

const scopes = ['https://www.googleapis.com/auth/cloud-platform'];
/** Stands for the credentials of the machine, as Google's own tools find them. */
const applicationDefault = 'application-default';
/** Longest wait for a token; most are at hand, or made here. */
const waitMs = 10_000;
/** Credentials that are remembered; replaced keys must not pile up. */
const clientsMax = 64;

/**
 * Access tokens for Google's cloud. A key is the JSON text of an account (a service account signs its tokens itself, others
 * ask for them), `application-default`, or a token already. The library keeps a token until it is about to expire.
 */
export class AccessTokens {
  readonly #clock: Clock;
  readonly #clients = new Map<string, Promise<AuthClient>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @throws TransportError when there is no token to be had */
  async of(key: string): Promise<string> {
    if (key !== applicationDefault && !key.trimStart().startsWith('{')) return key;
    const late = new AbortController();
    const tooLate = this.#clock.sleep(waitMs, late.signal).then(() => {
      throw new Error('time-out');
    });
    try {
      return await Promise.race([this.#tokenOf(key), tooLate]);
    } catch (error) {
      this.#clients.delete(key);
      // What the library says may quote the account.
      throw new TransportError('notSent', `no access token (${(error as Error).name})`);
    } finally {
      late.abort();
    }
  }

  async #tokenOf(key: string): Promise<string> {
    const headers = await (await this.#clientOf(key)).getRequestHeaders();
    const [, token] = /^Bearer (.+)$/.exec(headers.get('authorization') ?? '') ?? [];
    if (token === undefined) throw new Error('no bearer token');
    return token;
  }

  #clientOf(key: string): Promise<AuthClient> {
    const known = this.#clients.get(key);
    if (known) return known;
    const opened = openClient(key);
    this.#clients.set(key, opened);
    if (this.#clients.size > clientsMax) this.#clients.delete(this.#clients.keys().next().value!);
    return opened;
  }
}

async function openClient(key: string): Promise<AuthClient> {
  // Loaded when the first provider needs it: most have none.
  const { GoogleAuth, JWT } = await import('google-auth-library');
  const account = key === applicationDefault ? {} : { credentials: JSON.parse(key) as object };
  const client = await new GoogleAuth({ ...account, scopes }).getClient();
  if (client instanceof JWT) client.useJWTAccessWithScope = true;
  return client;
}
