import { Fields, type Note } from '#shared/peers/fields.ts';
import { bifrostCustomers } from './bifrost-customers.ts';
import { type Deployment, gatherProviders } from './gather-providers.ts';
import { environmentPlace, type Imported, type ImportedRoute } from './imported.ts';
import { bedrockUrl, knownHosts, vertexUrl } from './known-hosts.ts';

/** Of one key at Bifrost: what it is called there, and which of our deployments it became. */
interface BifrostDeployment extends Deployment {
  keyIds: string[];
  /** What callers name, where the provider calls it something else. */
  alias: string;
}

/** Bifrost's `config.json`, parsed, as a configuration of ours. */
export function importBifrost(configuration: unknown): Imported {
  const notes: Note[] = [];
  const fields = new Fields(configuration, '', notes);
  fields.take('$schema');
  const emptyAllowsAll = fields.number('version') === 1;
  const given = fields.within('providers');
  const deployments = (given?.names ?? []).flatMap((name) =>
    readProvider(given!.within(name), name, emptyAllowsAll),
  );
  if (deployments.length === 0) fields.note('providers', 'names no key that could be taken over');
  const { providers, targetOf } = gatherProviders(deployments);
  const providersOf = (host: string, keyIds: readonly string[]) => {
    const any = keyIds.length === 0 || keyIds.includes('*');
    const its = deployments.filter((each) => each.host === host);
    const chosen = its.filter((each) => any || each.keyIds.some((id) => keyIds.includes(id)));
    return [...new Set(chosen.map((each) => targetOf(each).split('/')[0]!))];
  };
  const customers = bifrostCustomers(fields.within('governance'), { emptyAllowsAll, providersOf });
  leaveOthers(fields);
  fields.end();
  return { configuration: { providers, customers, routes: aliasRoutes(deployments, targetOf) }, notes };
}

/** `env.NAME` becomes a place of ours; newer files say `{ value, env_var, from_env }`. */
function secretOf(value: unknown): string | undefined {
  if (typeof value === 'string')
    return value.startsWith('env.') ? environmentPlace(value.slice('env.'.length)) : value || undefined;
  const { env_var: variable, ref, value: plain } = (value ?? {}) as Record<string, unknown>;
  const named = [variable, ref].find((each) => typeof each === 'string' && each !== '');
  return typeof named === 'string' ? environmentPlace(named.replace(/^env\./, '')) : secretOf(plain ?? '');
}

function readProvider(
  provider: Fields | undefined,
  host: string,
  emptyAllowsAll: boolean,
): BifrostDeployment[] {
  if (!provider) return [];
  const network = provider.within('network_config');
  const custom = provider.within('custom_provider_config');
  const base = custom?.text('base_provider_type');
  const baseUrl = network?.text('base_url');
  const seconds = network?.number('default_request_timeout_in_seconds');
  const size = provider.within('concurrency_and_buffer_size');
  const concurrency = size?.number('concurrency');
  size?.leave('buffer_size', 'how many calls may wait is set by customer (max_queue_depth)');
  for (const name of ['max_retries', 'retry_backoff_initial', 'retry_backoff_max'])
    network?.leave(name, 'retries are set for all providers under `jobs`');
  for (const group of [network, custom, size]) group?.end();
  const keys = provider.each('keys');
  // Hosts of one's own may ask for no key.
  if (keys.length === 0 && baseUrl !== undefined) keys.push(new Fields({}, provider.path, []));
  const deployments = keys.flatMap((key) => {
    const special = {
      azure: key.within('azure_key_config'),
      vertex: key.within('vertex_key_config'),
      bedrock: key.within('bedrock_key_config'),
    };
    const place = readPlace(key, special, base ?? host, baseUrl);
    const models = readModels(key, special, emptyAllowsAll);
    const name = key.text('name');
    const id = key.text('id');
    const secret = readSecret(key, special, baseUrl !== undefined);
    const weight = key.number('weight');
    for (const group of [...Object.values(special), key]) group?.end();
    if (place && secret === undefined) key.note('value', 'tells no key; it is left out');
    if (!place || secret === undefined) return [];
    return models.map(
      ({ alias, model }): BifrostDeployment => ({
        host,
        alias,
        model,
        place: { ...place, ...(seconds ? { timeouts: { total_ms: Math.round(seconds * 1_000) } } : {}) },
        credential: { name: name ?? id ?? 'main', apiKey: secret, ...(weight ? { weight } : {}) },
        ceilings: {},
        ...(concurrency ? { concurrency } : {}),
        keyIds: [id, name].filter((each) => each !== undefined),
        disagree: () => undefined,
      }),
    );
  });
  provider.end();
  return deployments;
}

/** What a key needs besides itself at providers of this kind. */
type Special = Record<'azure' | 'vertex' | 'bedrock', Fields | undefined>;

function readPlace(
  key: Fields,
  { azure, vertex, bedrock }: Special,
  host: string,
  baseUrl: string | undefined,
): Deployment['place'] | undefined {
  const endpoint = secretOf(azure?.take('endpoint'))?.replace(/\/$/, '');
  const version = secretOf(azure?.take('api_version'));
  const region = secretOf(bedrock?.take('region'));
  const project = secretOf(vertex?.take('project_id'));
  const location = secretOf(vertex?.take('region')) ?? 'global';
  const known = knownHosts[host];
  if (azure && endpoint)
    return { dialect: 'azure', base_url: endpoint, ...(version ? { api_version: version } : {}) };
  if (bedrock && region) return { dialect: 'bedrock', base_url: baseUrl ?? bedrockUrl(region), region };
  if (vertex && project)
    return { dialect: 'vertex', base_url: baseUrl ?? vertexUrl(location), project, location };
  const url = withVersion(baseUrl ?? known?.baseUrl, known?.dialect ?? 'openai');
  if (url === undefined || ['azure', 'bedrock', 'vertex'].includes(known?.dialect ?? '')) {
    key.note('', `where ${host} is, is not known; the key is left out`);
    return undefined;
  }
  return { dialect: known?.dialect ?? 'openai', base_url: url };
}

/** Bifrost appends `/v1/…` to addresses that speak OpenAI; ours end with it. */
function withVersion(url: string | undefined, dialect: string): string | undefined {
  const bare = url?.replace(/\/$/, '');
  return bare === undefined || dialect !== 'openai' || /\/v\d/.test(bare) ? bare : `${bare}/v1`;
}

/** The models of a key, and the deployments that stand for them. */
function readModels(
  key: Fields,
  { azure: special }: Special,
  emptyAllowsAll: boolean,
): { alias: string; model: string }[] {
  const isSaid = key.has('models');
  const models = key.texts('models') ?? [];
  const azure = deploymentsOf([special?.within('deployments'), key.within('aliases')]);
  const all = models.includes('*') || (models.length === 0 && (emptyAllowsAll || !isSaid));
  if (models.length === 0 && !all) key.note('models', 'no model is allowed: the key is left out');
  const named = all ? [...azure.keys()] : models;
  const list = named.map((alias) => ({ alias, model: azure.get(alias) ?? alias }));
  return all && azure.size === 0 ? [{ alias: '*', model: '*' }] : list;
}

/** `deployments` of Azure, or `aliases` of any key in newer files. */
function deploymentsOf(groups: readonly (Fields | undefined)[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const group of groups) {
    for (const alias of group?.names ?? []) {
      const model = group!.text(alias);
      if (model !== undefined) found.set(alias, model);
    }
  }
  return found;
}

/** Undefined when the key tells none; places that were named by an endpoint of their own need none. */
function readSecret(key: Fields, { vertex, bedrock }: Special, isOwnHost: boolean): string | undefined {
  const value = secretOf(key.take('value'));
  const account = secretOf(vertex?.take('auth_credentials'));
  const pair = ['access_key', 'secret_key', 'session_token'].flatMap(
    (name) => secretOf(bedrock?.take(name)) ?? [],
  );
  if (value) return value;
  if (vertex) return account ?? 'application-default';
  if (pair.length > 0) return pair.join(':');
  return isOwnHost ? noSecret : undefined;
}

/** What is sent to a host that asks for no key. */
const noSecret = 'none';

function aliasRoutes(
  deployments: readonly BifrostDeployment[],
  targetOf: (deployment: Deployment) => string,
): Record<string, ImportedRoute> {
  const renamed = deployments.filter(({ alias, model }) => alias !== model);
  const routes = [...Map.groupBy(renamed, ({ alias }) => alias)].map(
    ([alias, its]): [string, ImportedRoute] => {
      const targets = [...new Set(its.map(targetOf))].map((model) => ({ model }));
      return [alias, { targets }];
    },
  );
  return Object.fromEntries(routes);
}

function leaveOthers(fields: Fields): void {
  const client = fields.within('client');
  client?.leave(
    'drop_excess_requests',
    'calls wait until the depth of a queue is reached, then they are refused',
  );
  client?.leave('max_request_body_size_mb', 'is `http.body_max_bytes`');
  client?.leave('enforce_governance_header', 'every call needs a key here');
  client?.leave('enforce_auth_on_inference', 'every call needs a key here');
  client?.end('is set otherwise, or not needed, here: see config/REFERENCE.md');
  for (const name of ['config_store', 'logs_store', 'vector_store'])
    fields.leave(name, 'Sluice keeps everything in its Redis');
  fields.leave('encryption_key', 'secrets are encrypted with SLUICE_SECRET_KEY');
  fields.leave('auth_config', 'the admin API has one key: SLUICE_ADMIN_KEY');
  fields.leave('framework', 'prices come with Sluice, or are set as `prices`');
}
