import { type RedisConnection, storeError } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';

/** Who did what to what, and when. Secrets are never part of it. */
export interface AuditRow {
  /** Place in the log; rows are in its order. */
  id: string;
  atMs: number;
  who: string;
  /** `create`, `change` or `remove` of a document, or what else an operator can do. */
  action: string;
  /** `<kind>/<id>`. */
  subject: string;
  /** Version of the documents that the change made. */
  version: number | undefined;
  before: unknown;
  after: unknown;
}

const pageMax = 1_000;
const parsed = (text: string | undefined) => (text ? (JSON.parse(text) as unknown) : null);

/** The audit: changed documents are entered by the scripts that change them, other doings with `note`. */
export class AuditLog {
  readonly #redis: RedisConnection;
  readonly #rowsMax: number;

  constructor(redis: RedisConnection, rowsMax: number) {
    this.#redis = redis;
    this.#rowsMax = rowsMax;
  }

  /** Enters something that changes no document, such as the pause of a pool. @throws SluiceError store_unavailable */
  async note({ who, action, subject, after }: Pick<AuditRow, 'who' | 'action' | 'subject' | 'after'>) {
    const row = ['who', who, 'action', action, 'subject', subject, 'after', JSON.stringify(after ?? null)];
    await this.#redis
      .xadd(keys.audit(), 'MAXLEN', '~', this.#rowsMax, '*', ...row)
      .catch((error: unknown) => {
        throw storeError(error);
      });
  }

  /** Rows from the newest to the oldest; `before` is the id of a row that was seen. */
  async list({ before, limit }: { before?: string | undefined; limit: number }): Promise<AuditRow[]> {
    const from = before === undefined ? '+' : `(${before}`;
    const rows = await this.#redis
      .xrevrange(keys.audit(), from, '-', 'COUNT', Math.min(limit, pageMax))
      .catch((error: unknown) => {
        throw storeError(error);
      });
    return rows.map(([id, values]) => toRow(id, values));
  }
}

function toRow(id: string, values: readonly string[]): AuditRow {
  const fields = new Map<string, string>();
  for (let index = 0; index < values.length; index += 2) fields.set(values[index]!, values[index + 1]!);
  const field = (name: string) => fields.get(name);
  const version = field('version');
  return {
    id,
    atMs: Number(id.split('-')[0]),
    who: field('who') ?? '',
    action: field('action') ?? '',
    subject: field('subject') ?? '',
    version: version === undefined ? undefined : Number(version),
    before: parsed(field('before')),
    after: parsed(field('after')),
  };
}
