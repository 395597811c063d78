import type { Settings } from '#config/schema.ts';
import type { WebhookEvent } from '#shared/contracts/webhook.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import { newId } from '#shared/kernel/ids.ts';
import { type Random, systemRandom } from '#shared/kernel/random.ts';
import { type RedisConnection, storeError } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import { runScript } from '#shared/redis/script.ts';
import { type SecretBox, secretContext } from '#shared/secrets/secret-box.ts';
import { releaseWaitingScript, resealKeysScript, saveEndpointScript } from './scripts.ts';
import {
  newSigningKey,
  readKeys,
  rotate,
  type SigningKey,
  shownPublicKey,
  shownSecret,
  writeKeys,
} from './signing-keys.ts';
import { refusalOf } from './url-policy.ts';
import { defaultEndpointId, endpointIdOfUrl } from './webhook-ids.ts';

/**
 * A receiver of webhooks.
 *
 *   active ⇄ paused (asked for, or after `pause_after_seconds` of nothing but failures: what is meant for it waits)
 *   active → disabled (it answered 410: what is meant for it waits until it is made active again)
 */
export interface WebhookEndpoint {
  id: string;
  url: string;
  events: WebhookEvent[];
  description: string;
  status: 'active' | 'paused' | 'disabled';
  /** Why it is not active: `requested`, `failing` or `gone`. */
  reason: string | undefined;
  createdMs: number;
  failingSinceMs: number | undefined;
  publicKey: string;
  /** Deliveries that have not ended. */
  open: number;
}

export interface EndpointChange {
  url?: string | undefined;
  events?: readonly WebhookEvent[] | undefined;
  description?: string | undefined;
  status?: 'active' | 'paused' | undefined;
}

export interface EndpointStoreOptions {
  redis: RedisConnection;
  settings: Settings['webhooks'];
  secrets: SecretBox;
  random?: Random;
}

type Mode = 'create' | 'unlisted' | 'change' | 'delete';
const endpointFields = [
  'url',
  'events',
  'description',
  'status',
  'reason',
  'createdMs',
  'failingSinceMs',
  'publicKey',
  'open',
] as const;

/** Waiting deliveries that one script makes due: Redis serves nobody else meanwhile. */
const releasedTogether = 200;

/** The webhook endpoints of tenants. Secrets leave it once: when they are made. */
export class EndpointStore {
  readonly #options: EndpointStoreOptions;
  readonly #knownTenants = new Set<string>();

  constructor(options: EndpointStoreOptions) {
    this.#options = options;
  }

  /** @throws SluiceError webhook_url_refused or too_many_webhook_endpoints */
  async create(
    tenant: string,
    wanted: { url: string; events: readonly WebhookEvent[]; description: string },
  ): Promise<{ endpoint: WebhookEndpoint; secret: string }> {
    this.refuseUrl(wanted.url);
    await this.register(tenant);
    const id = newId('we');
    const key = this.#newKey();
    const fields = { ...this.#keyFields(tenant, id, [key]), ...wanted, events: wanted.events.join(' ') };
    const saved = await this.#save(tenant, id, 'create', fields);
    if (saved === 'full')
      throw new SluiceError('too_many_webhook_endpoints', {
        fields: { limit: this.#options.settings.endpoints_max },
      });
    return { endpoint: await this.read(tenant, id), secret: shownSecret(key) };
  }

  /** @throws SluiceError webhook_endpoint_not_found, also for an endpoint of another tenant */
  async read(tenant: string, id: string, param = 'id'): Promise<WebhookEndpoint> {
    const values = await this.#ask(
      this.#options.redis.hmget(keys.webhookEndpoint(tenant, id), ...endpointFields),
    );
    const endpoint = endpointOf(id, values);
    if (!endpoint) throw notFound(id, param);
    return endpoint;
  }

  async list(tenant: string): Promise<WebhookEndpoint[]> {
    const ids = await this.#ask(this.#options.redis.zrange(keys.webhookEndpoints(tenant), 0, '-1'));
    const found = await Promise.all(ids.map((id) => this.read(tenant, id).catch(goneMeanwhile)));
    return found.filter((endpoint) => endpoint !== undefined);
  }

  /** @throws SluiceError webhook_endpoint_not_found or webhook_url_refused */
  async change(tenant: string, id: string, change: EndpointChange): Promise<WebhookEndpoint> {
    if (change.url !== undefined) this.refuseUrl(change.url);
    const fields: Record<string, string> = {};
    if (change.url !== undefined) fields.url = change.url;
    if (change.description !== undefined) fields.description = change.description;
    if (change.events !== undefined) fields.events = change.events.join(' ');
    if (change.status === 'paused') Object.assign(fields, { status: 'paused', reason: 'requested' });
    if (change.status === 'active')
      Object.assign(fields, { status: 'active', reason: '', failingSinceMs: '' });
    if ((await this.#save(tenant, id, 'change', fields)) === 'gone') throw notFound(id);
    if (change.status === 'active') await this.release(tenant, id);
    const stored = await this.#ask(this.#options.redis.hget(keys.webhookEndpoint(tenant, id), 'keys'));
    if (stored) await this.reseal(tenant, id, stored);
    return this.read(tenant, id);
  }

  /** @throws SluiceError webhook_endpoint_not_found */
  async delete(tenant: string, id: string): Promise<void> {
    if ((await this.#save(tenant, id, 'delete', {})) === 'gone') throw notFound(id);
    await this.#ask(this.#options.redis.del(keys.webhookLog(tenant, id), keys.webhookWaiting(tenant, id)));
  }

  /** Makes what an endpoint has waiting due now: some at once (how many), the rest by the webhook service's next steps. */
  release(tenant: string, id: string): Promise<number> {
    return runScript(this.#options.redis, releaseWaitingScript, {
      keys: {
        endpoint: keys.webhookEndpoint(tenant, id),
        outbox: keys.outbox(tenant),
        backlog: keys.webhookBacklog(tenant),
        waiting: keys.webhookWaiting(tenant, id),
        deliveryPrefix: keys.webhookDelivery(tenant, ''),
      },
      args: {
        suppliedNowMs: '',
        endpointId: id,
        batch: releasedTogether,
        outboxChannel: keys.outboxChannel(),
        tenant,
      },
    });
  }

  /** New keys; those before them sign beside them until `untilMs`. @throws SluiceError webhook_endpoint_not_found */
  async rotateSecret(tenant: string, id: string, untilMs: number): Promise<string> {
    const before = await this.#ask(this.#options.redis.hget(keys.webhookEndpoint(tenant, id), 'keys'));
    if (!before) throw notFound(id);
    const key = this.#newKey();
    const both = rotate(this.openKeys(tenant, id, before), key, untilMs);
    if ((await this.#save(tenant, id, 'change', this.#keyFields(tenant, id, both))) === 'gone')
      throw notFound(id);
    return shownSecret(key);
  }

  /** The tenant's own keys exist from now on. */
  async ensureDefault(tenant: string): Promise<void> {
    await this.register(tenant);
    const fields = { ...this.#keyFields(tenant, defaultEndpointId, [this.#newKey()]), url: '', events: '' };
    await this.#save(tenant, defaultEndpointId, 'unlisted', fields);
  }

  /** The endpoint that stands for a URL of a single job; it is signed for with the tenant's own keys. */
  async ensureForUrl(tenant: string, url: string): Promise<string> {
    await this.ensureDefault(tenant);
    const id = endpointIdOfUrl(url);
    await this.#save(tenant, id, 'unlisted', { url, events: '' }, this.#options.settings.retention_seconds);
    return id;
  }

  /** The keys of an endpoint, or of the default one, as begin-delivery gives them out. */
  openKeys(tenant: string, id: string, sealed: string): SigningKey[] {
    return readKeys(this.#options.secrets.open(sealed, secretContext.webhook(tenant, id)));
  }

  /** Keys that stand in plain, or that an older key encrypted, are encrypted with the newest one, if there is any. */
  async reseal(tenant: string, id: string, stored: string): Promise<void> {
    const { secrets, redis } = this.#options;
    if (!secrets.canSeal || secrets.isCurrent(stored)) return;
    const sealed = this.#sealAgain(tenant, id, stored);
    if (sealed === undefined) return;
    const endpoint = keys.webhookEndpoint(tenant, id);
    await runScript(redis, resealKeysScript, { keys: { endpoint }, args: { before: stored, sealed } });
  }

  /** Undefined when the keys cannot be opened: whoever needs them says so. */
  #sealAgain(tenant: string, id: string, stored: string): string | undefined {
    try {
      return this.#seal(tenant, id, this.openKeys(tenant, id, stored));
    } catch (error) {
      if (error instanceof SluiceError && error.code === 'secret_unreadable') return undefined;
      throw error;
    }
  }

  /** @throws SluiceError secret_key_missing when no keys could be kept for a new receiver */
  requireSecretKey(): void {
    if (!this.#options.secrets.canSeal) throw new SluiceError('secret_key_missing');
  }

  /** The webhook service looks after the tenant from now on. */
  async register(tenant: string): Promise<void> {
    if (this.#knownTenants.has(tenant)) return;
    await this.#ask(this.#options.redis.sadd(keys.webhookTenants(), tenant));
    this.#knownTenants.add(tenant);
  }

  /** @throws SluiceError webhook_url_refused */
  refuseUrl(url: string, param = 'url'): void {
    const reason = refusalOf(url, this.#options.settings);
    if (reason) throw new SluiceError('webhook_url_refused', { fields: { reason }, param });
  }

  #newKey(): SigningKey {
    return newSigningKey(this.#options.random ?? systemRandom);
  }

  #keyFields(tenant: string, id: string, signing: readonly SigningKey[]): Record<string, string> {
    return { keys: this.#seal(tenant, id, signing), publicKey: shownPublicKey(signing[0]!) };
  }

  #seal(tenant: string, id: string, signing: readonly SigningKey[]): string {
    return this.#options.secrets.seal(writeKeys(signing), secretContext.webhook(tenant, id));
  }

  #save(
    tenant: string,
    id: string,
    mode: Mode,
    fields: Record<string, string>,
    ttlSeconds = 0,
  ): Promise<'saved' | 'full' | 'gone'> {
    return runScript(this.#options.redis, saveEndpointScript, {
      keys: {
        endpoint: keys.webhookEndpoint(tenant, id),
        endpoints: keys.webhookEndpoints(tenant),
        subscriptions: keys.webhookSubscriptions(tenant),
      },
      args: {
        suppliedNowMs: '',
        endpointId: id,
        mode,
        endpointsMax: this.#options.settings.endpoints_max,
        events: fields.events ?? '',
        ttlMs: ttlSeconds * 1_000,
      },
      rest: Object.entries(fields).flat(),
    });
  }

  async #ask<T>(command: Promise<T>): Promise<T> {
    try {
      return await command;
    } catch (error) {
      throw storeError(error);
    }
  }
}

function goneMeanwhile(error: unknown): undefined {
  if (error instanceof SluiceError && error.code === 'webhook_endpoint_not_found') return undefined;
  throw error;
}

const notFound = (endpoint: string, param = 'id') =>
  new SluiceError('webhook_endpoint_not_found', { fields: { endpoint }, param });

function endpointOf(id: string, values: readonly (string | null)[]): WebhookEndpoint | undefined {
  const [url, events, description, status, reason, createdMs, failingSinceMs, publicKey, open] = values;
  if (!status) return undefined;
  return {
    id,
    url: url ?? '',
    events: (events ?? '').split(' ').filter(Boolean) as WebhookEvent[],
    description: description ?? '',
    status: status as WebhookEndpoint['status'],
    reason: reason || undefined,
    createdMs: Number(createdMs),
    failingSinceMs: failingSinceMs ? Number(failingSinceMs) : undefined,
    publicKey: publicKey ?? '',
    open: Math.max(0, Number(open)),
  };
}
