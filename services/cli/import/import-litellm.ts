import { Fields, type Note } from '#shared/peers/fields.ts';
import { freeName } from '#shared/peers/names.ts';
import { type Deployment, gatherProviders } from './gather-providers.ts';
import { defaultCustomer, environmentPlace, type Imported, type ImportedTarget } from './imported.ts';
import { bedrockUrl, hostOfBareModel, knownHosts, vertexUrl } from './known-hosts.ts';
import { litellmRouting, type Routing } from './litellm-routing.ts';

interface NamedDeployment extends Deployment {
  /** What callers name. */
  alias: string;
  share: number | undefined;
}

/** LiteLLM's `config.yaml`, parsed, as a configuration of ours. */
export function importLitellm(configuration: unknown): Imported {
  const notes: Note[] = [];
  const fields = new Fields(configuration, '', notes);
  const routing = litellmRouting(fields);
  const deployments = fields.each('model_list').flatMap((each) => readDeployment(each) ?? []);
  if (deployments.length === 0) fields.note('model_list', 'names no deployment that could be taken over');
  const general = fields.within('general_settings');
  general?.leave('master_key', 'is the key of the admin API here: set SLUICE_ADMIN_KEY');
  general?.leave('database_url', 'keys and teams that lie in its database are not in this file');
  general?.end();
  fields.leave('environment_variables', 'set them in the environment of Sluice, as far as keys need them');
  fields.end();
  const withTimeout = deployments.map((each) => ({
    ...each,
    place: { ...each.place, ...(routing.totalMs ? { timeouts: { total_ms: routing.totalMs } } : {}) },
  }));
  const { providers, targetOf } = gatherProviders(withTimeout);
  const routes = routesOf(withTimeout, targetOf, routing, providers, fields);
  return { configuration: { providers, customers: { default: defaultCustomer() }, routes }, notes };
}

/** `os.environ/NAME` becomes a place of ours. */
const resolved = (text: string | undefined) =>
  text?.startsWith('os.environ/') ? environmentPlace(text.slice('os.environ/'.length)) : text;

function readDeployment(fields: Fields): NamedDeployment | undefined {
  const alias = fields.text('model_name');
  const params = fields.within('litellm_params');
  const full = params?.text('model');
  if (alias === undefined || params === undefined || full === undefined) {
    fields.note('', 'needs model_name and litellm_params.model; it is left out');
    return undefined;
  }
  const said = params.text('custom_llm_provider');
  const [prefix, ...rest] = full.split('/');
  const isPrefixed = said === undefined && rest.length > 0 && Object.hasOwn(knownHosts, prefix!);
  const host = said ?? (isPrefixed ? prefix! : hostOfBareModel(full));
  const model = isPrefixed ? rest.join('/') : full;
  const place = readPlace(params, host, said === undefined && rest.length > 0 && !isPrefixed);
  const credential = readCredential(params, host);
  const limits = new Map(
    (['rpm', 'tpm'] as const).map((name) => [name, params.number(name) ?? fields.number(name)]),
  );
  const concurrency = params.number('max_parallel_requests');
  const weight = params.number('weight') ?? fields.number('weight');
  leaveModelInfo(fields);
  params.end();
  fields.end();
  if (!place) return undefined;
  const [rpm, tpm] = [limits.get('rpm'), limits.get('tpm')];
  return {
    alias,
    host,
    place,
    model,
    credential: { ...credential, ...(weight === undefined ? {} : { weight }) },
    ceilings: { ...(rpm ? { rpm } : {}), ...(tpm ? { tpm } : {}), ...(concurrency ? { concurrency } : {}) },
    share: weight ?? rpm ?? tpm,
    disagree: (field) =>
      params.note(field, 'keys of one pool have the same ceilings: the smallest holds for all'),
  };
}

/** Where the deployment is; undefined when nothing tells. */
function readPlace(params: Fields, host: string, isUnknown: boolean): Deployment['place'] | undefined {
  const known = knownHosts[host];
  const given = resolved(params.text('api_base') ?? params.text('base_url'));
  const region = resolved(params.text('aws_region_name'));
  const project = resolved(params.text('vertex_project'));
  const location = resolved(params.text('vertex_location'));
  const version = resolved(params.text('api_version'));
  if (host === 'bedrock' && region)
    return { dialect: 'bedrock', base_url: given ?? bedrockUrl(region), region };
  if (known?.dialect === 'vertex' && project) {
    const at = location ?? 'global';
    return { dialect: 'vertex', base_url: given ?? vertexUrl(at), project, location: at };
  }
  const baseUrl = given ?? (isUnknown ? undefined : known?.baseUrl);
  if (baseUrl === undefined || (known?.dialect === 'vertex' && !project)) {
    params.note('model', `where ${host} is, is not known; it is left out`);
    return undefined;
  }
  const dialect = known?.dialect ?? 'openai';
  if (known === undefined) params.note('model', `${host} is taken to speak as OpenAI does`);
  if (version && dialect !== 'azure')
    params.note('api_version', 'the version is part of the dialect of the provider');
  return {
    dialect,
    base_url: baseUrl.replace(/\/$/, ''),
    ...(version && dialect === 'azure' ? { api_version: version } : {}),
  };
}

function readCredential(params: Fields, host: string): Deployment['credential'] {
  const given = params.text('api_key');
  const account = params.text('vertex_credentials');
  const parts = ['aws_access_key_id', 'aws_secret_access_key', 'aws_session_token'].flatMap(
    (name) => resolved(params.text(name)) ?? [],
  );
  const secret = given ?? account;
  const name = secret?.startsWith('os.environ/')
    ? secret.slice('os.environ/'.length).toLowerCase().replaceAll('_', '-')
    : 'main';
  if (secret !== undefined) return { name, apiKey: resolved(secret)! };
  if (parts.length >= 2) return { name: 'main', apiKey: parts.join(':') };
  if (host === 'vertex_ai') return { name: 'main', apiKey: 'application-default' };
  if (host.startsWith('ollama')) return { name: 'main', apiKey: 'none' };
  // LiteLLM reads it from the environment by the name of the provider, and so do we.
  return { name: 'main', apiKey: environmentPlace(`${host.toUpperCase()}_API_KEY`) };
}

function leaveModelInfo(fields: Fields): void {
  const info = fields.within('model_info');
  for (const name of ['id', 'mode', 'description']) info?.take(name);
  info?.leave('base_model', 'prices go by the name of the model');
  info?.end('what a model can do and costs is known by its name, or set as `prices`');
}

/** Aliases that are not simply the name of one model are routes. */
function routesOf(
  deployments: readonly NamedDeployment[],
  targetOf: (deployment: Deployment) => string,
  routing: Routing,
  providers: Imported['configuration']['providers'],
  fields: Fields,
): Imported['configuration']['routes'] {
  const targets = new Map<string, ImportedTarget[]>();
  for (const [alias, its] of Map.groupBy(deployments, (each) => each.alias)) {
    const byTarget = Map.groupBy(its, targetOf);
    targets.set(
      alias,
      [...byTarget].map(([model, same]) => {
        const weight = same.reduce((sum, { share }) => sum + (share ?? 0), 0);
        return { model, ...(weight > 0 && byTarget.size > 1 ? { weight } : {}) };
      }),
    );
  }
  for (const { alias, of, note } of routing.aliases) {
    const its = targets.get(of);
    if (its) targets.set(alias, its);
    else note(`there is no model ${of}`);
  }
  const routes: Imported['configuration']['routes'] = {};
  for (const [alias, its] of targets) {
    const fallbacks = (routing.fallbacks.get(alias) ?? routing.fallbacks.get('*') ?? [])
      .filter((name) => name !== alias)
      .flatMap((name) => targets.get(name) ?? [{ model: name }]);
    if (isPlain(alias, its, providers) && fallbacks.length === 0) continue;
    if (alias.includes('*')) {
      fields.note('model_list', `${alias}: names with a * are no routes; call provider/model`);
      continue;
    }
    const name = freeName(alias, (each) => Object.hasOwn(routes, each));
    if (name !== alias) fields.note('model_list', `${alias} is called ${name} here`);
    routes[name] = {
      ...(its.length > 1 ? { strategy: routing.strategy } : {}),
      targets: its,
      ...(fallbacks.length > 0 ? { fallbacks } : {}),
      ...(routing.retries === undefined ? {} : { retries: routing.retries }),
    };
  }
  return routes;
}

/** Whether callers reach the one target by the name they know, without a route. */
function isPlain(
  alias: string,
  targets: readonly ImportedTarget[],
  providers: Imported['configuration']['providers'],
): boolean {
  const [target] = targets;
  if (targets.length !== 1 || !target) return false;
  if (target.model === alias) return true;
  const serves = Object.values(providers).filter(({ pools }) =>
    Object.values(pools).some(({ models }) => models.includes(alias)),
  );
  return target.model.endsWith(`/${alias}`) && serves.length === 1;
}
