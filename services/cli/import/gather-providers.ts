import { freeName, nameFrom } from '#shared/peers/names.ts';
import type { ImportedPool, ImportedProvider } from './imported.ts';
import { presetOfUrl } from './known-hosts.ts';

/** One model at one place with one key: what other gateways call a deployment. */
export interface Deployment {
  /** What the provider is called there; the name of ours comes from it. */
  host: string;
  place: Omit<ImportedProvider, 'credentials' | 'pools'>;
  /** Model as the provider knows it; `*` ends a prefix. */
  model: string;
  credential: { name: string; apiKey: string; weight?: number };
  ceilings: NonNullable<ImportedPool['ceilings']>;
  concurrency?: number;
  /** Tells that deployments of one model have ceilings of their own, though a pool has one set of them. */
  disagree: (field: string) => void;
}

export interface GatheredProviders {
  providers: Record<string, ImportedProvider>;
  /** The deployment as a target: `provider/model`. */
  targetOf: (deployment: Deployment) => string;
}

const keyOf = ({ host, place }: Deployment) => JSON.stringify([host, place]);
const modelsWithoutCeilings = 'all';

/**
 * Providers made of deployments. Here each credential of a provider serves all of its models; so models that may be
 * called with other keys belong to another provider of ours, even at the same place.
 */
export function gatherProviders(deployments: readonly Deployment[]): GatheredProviders {
  const providers: Record<string, ImportedProvider> = {};
  const targets = new Map<Deployment, string>();
  for (const atPlace of Map.groupBy(deployments, keyOf).values()) {
    const byModel = Map.groupBy(atPlace, ({ model }) => model);
    const keysOf = (model: string) =>
      JSON.stringify([...new Set(byModel.get(model)!.map(({ credential }) => credential.apiKey))].toSorted());
    for (const models of Map.groupBy(byModel.keys(), keysOf).values()) {
      const together = models.map((model) => byModel.get(model)!);
      const name = freeName(atPlace[0]!.host, (each) => Object.hasOwn(providers, each), 'provider');
      providers[name] = providerOf(together);
      for (const each of together.flat()) targets.set(each, `${name}/${each.model}`);
    }
  }
  return { providers, targetOf: (deployment) => targets.get(deployment)! };
}

function providerOf(byModel: readonly Deployment[][]): ImportedProvider {
  const credentials: ImportedProvider['credentials'] = [];
  for (const { credential } of byModel.flat()) {
    const { name, apiKey, weight } = credential;
    if (credentials.some(({ api_key }) => api_key === apiKey)) continue;
    const id = freeName(name, (each) => credentials.some((known) => known.id === each), 'main');
    credentials.push({ id, api_key: apiKey, ...(weight === undefined ? {} : { weight }) });
  }
  const { place } = byModel[0]![0]!;
  const preset = place.dialect === 'openai' ? presetOfUrl(place.base_url) : undefined;
  return { ...(preset ? { preset } : {}), ...place, credentials, pools: poolsOf(byModel) };
}

/** A pool per model that has ceilings, and one for all others. */
function poolsOf(byModel: readonly Deployment[][]): ImportedProvider['pools'] {
  const pools: ImportedProvider['pools'] = {};
  const taken = (name: string) => Object.hasOwn(pools, name) || name === modelsWithoutCeilings;
  for (const deployments of byModel) {
    const { model } = deployments[0]!;
    const ceilings = tightest(deployments);
    const concurrency = Math.max(0, ...deployments.map((each) => each.concurrency ?? 0));
    const sized = concurrency > 0 ? { concurrency } : {};
    if (Object.keys(ceilings).length > 0) {
      pools[freeName(nameFrom(model, 'models'), taken)] = { models: [model], ...sized, ceilings };
    } else {
      const shared = pools[modelsWithoutCeilings];
      if (shared) shared.models.push(model);
      else pools[modelsWithoutCeilings] = { models: [model], ...sized };
    }
  }
  return pools;
}

/** Ceilings hold for each credential alike: the smallest that any deployment of the model names. */
function tightest(deployments: readonly Deployment[]): NonNullable<ImportedPool['ceilings']> {
  const ceilings: NonNullable<ImportedPool['ceilings']> = {};
  for (const field of ['rpm', 'tpm', 'concurrency'] as const) {
    const amounts = deployments.flatMap((each) => each.ceilings[field] ?? []);
    if (amounts.length === 0) continue;
    ceilings[field] = Math.min(...amounts);
    for (const each of deployments) if (each.ceilings[field] !== ceilings[field]) each.disagree(field);
  }
  return ceilings;
}
