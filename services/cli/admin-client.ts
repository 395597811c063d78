import { z } from 'zod';
import type { CliContext, CommonOptions } from './cli-context.ts';
import { CliError, exitCodes, usageError } from './cli-error.ts';
import { SluiceClient } from './sluice-client.ts';

/** A thing as the admin API tells it; the rest passes through with --json. */
const objectShape = z.looseObject({
  object: z.string(),
  id: z.string(),
  source: z.string(),
  version: z.number(),
  settings: z.record(z.string(), z.unknown()),
});
export type AdminObject = z.infer<typeof objectShape>;
const madeKeyShape = objectShape.extend({ key: z.string() });
const pageShape = z.object({
  data: z.array(objectShape),
  has_more: z.boolean(),
  last_id: z.string().nullable(),
});

export type AdminKind =
  | 'customers'
  | 'teams'
  | 'virtual-keys'
  | 'providers'
  | 'credentials'
  | 'pools'
  | 'routes';

const pageSize = 1_000;
/** Longest wait for the sign of life that says whether the admin API is to be used. */
const signOfLifeMs = 10_000;
const pathOf = (kind: AdminKind, id: string) =>
  `/admin/${kind}/${id.split('/').map(encodeURIComponent).join('/')}`;

/** The admin API of a running Sluice. */
export class AdminClient {
  readonly #http: SluiceClient;

  constructor(http: SluiceClient) {
    this.#http = http;
  }

  async list(kind: AdminKind, owner?: string): Promise<AdminObject[]> {
    const found: AdminObject[] = [];
    for (let after: string | null = ''; after !== null; ) {
      const query = new URLSearchParams({
        limit: String(pageSize),
        after,
        ...(owner ? { customer: owner } : {}),
      });
      const page: z.infer<typeof pageShape> = await this.#http.askJson(
        `/admin/${kind}?${query.toString()}`,
        pageShape,
      );
      found.push(...page.data);
      after = page.has_more ? page.last_id : null;
    }
    return found;
  }

  create(kind: AdminKind, body: Record<string, unknown>): Promise<AdminObject> {
    return this.#http.askJson(`/admin/${kind}`, objectShape, { method: 'POST', body });
  }

  createKey(body: Record<string, unknown>): Promise<AdminObject & { key: string }> {
    return this.#http.askJson('/admin/virtual-keys', madeKeyShape, { method: 'POST', body });
  }

  patch(kind: AdminKind, id: string, body: Record<string, unknown>): Promise<AdminObject> {
    return this.#http.askJson(pathOf(kind, id), objectShape, { method: 'PATCH', body });
  }

  replace(kind: AdminKind, id: string, body: Record<string, unknown>): Promise<AdminObject> {
    return this.#http.askJson(pathOf(kind, id), objectShape, { method: 'PUT', body });
  }

  /** What is done to a pool or a tenant while calls run. */
  control(path: string): Promise<AdminObject> {
    return this.#http.askJson(`/admin/${path}`, objectShape, { method: 'POST' });
  }

  /** What was used, as JSON or CSV. */
  usage(query: URLSearchParams): Promise<Response> {
    return this.#http.ask(`/admin/usage?${query.toString()}`);
  }

  async remove(kind: AdminKind, id: string): Promise<void> {
    await this.#http.ask(pathOf(kind, id), { method: 'DELETE' });
  }
}

/** The admin API of the Sluice that runs here, or of the one that the options name; undefined when none runs. */
export async function findAdmin(
  context: CliContext,
  options: CommonOptions,
): Promise<AdminClient | undefined> {
  const target = await context.findAdmin(options);
  if (!target) return undefined;
  const { clock, say } = context;
  const http = new SluiceClient({ ...target, clock, say });
  try {
    await http.ask('/admin/customers?limit=1', { answerMs: signOfLifeMs });
  } catch (error) {
    const isAway = error instanceof CliError && error.exitCode === exitCodes.unreachable;
    if (isAway && !options.operationsUrl) return undefined;
    throw error;
  }
  return new AdminClient(http);
}

/** The same for commands that need one. @throws CliError */
export async function openAdmin(context: CliContext, options: CommonOptions): Promise<AdminClient> {
  const found = await findAdmin(context, options);
  if (found) return found;
  throw usageError(
    'This needs the admin API of a Sluice that runs.',
    'Start one with `npm start`, or name one with --operations-url and --admin-key.',
  );
}
