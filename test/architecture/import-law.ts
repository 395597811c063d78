import type { SourceFile, SourceImport } from './source-file.ts';

/** Parts of `shared` from the bottom up; a part sees those of lower rows, never its neighbours in a row. */
const rows = [
  ['kernel'],
  ['contracts', 'telemetry'],
  ['redis', 'http', 'secrets', 'peers'],
  ['tenants', 'tokens', 'blobs', 'translation', 'overlay'],
  ['quotas'],
  ['queue', 'jobs', 'results', 'deliveries', 'batches', 'cache', 'usage'],
];

/** Packages that only some folders may import at run time, and who may name their types besides. */
const confined: Record<string, { from: string[]; typesFrom: string[] }> = {
  ioredis: { from: ['shared/redis/', 'shared/queue/'], typesFrom: [] },
  bullmq: { from: ['shared/redis/', 'shared/queue/'], typesFrom: ['shared/telemetry/'] },
  '@aws-sdk/client-s3': { from: ['shared/blobs/'], typesFrom: [] },
  'google-auth-library': { from: ['services/worker/http/'], typesFrom: [] },
  '@smithy/signature-v4': { from: ['services/worker/providers/bedrock/'], typesFrom: [] },
  '@smithy/eventstream-codec': {
    from: ['services/worker/providers/bedrock/', 'services/worker/translate/'],
    typesFrom: [],
  },
  undici: { from: ['services/worker/http/', 'services/webhook/'], typesFrom: [] },
};
for (const name of ['openai', 'openai-compatible', 'anthropic', 'google', 'amazon-bedrock'])
  confined[`@ai-sdk/${name}`] = { from: ['services/worker/translate/'], typesFrom: [] };
confined['@ai-sdk/provider'] = { from: ['services/worker/translate/'], typesFrom: ['shared/translation/'] };
const product = ['config/', 'services/', 'shared/'];

const startsWithAny = (path: string, prefixes: readonly string[]) =>
  prefixes.some((prefix) => path.startsWith(prefix));
const partOf = (path: string) => path.split('/').slice(0, 2).join('/');
const rowOf = (path: string) => rows.findIndex((row) => row.includes(path.split('/')[1] ?? ''));
/** `main.ts` of a service and the files directly in `services` put a process together. */
const isRoot = (path: string) => /^services\/([^/]+|[^/]+\/main)\.ts$/.test(path);

function packageVerdict(path: string, { target, typeOnly }: SourceImport): string | undefined {
  const name = target.startsWith('@') ? target.split('/').slice(0, 2).join('/') : target.split('/')[0]!;
  const rule = confined[name];
  if (!rule || !startsWithAny(path, product) || startsWithAny(path, rule.from)) return undefined;
  if (typeOnly && startsWithAny(path, rule.typesFrom)) return undefined;
  return `only ${rule.from.join(' and ')} may import ${name}`;
}

/** The schema of the settings and its parts. */
const isSchema = (path: string) => /^config\/([a-z]+-)?schema\.ts$/.test(path);

function sharedVerdict(from: string, to: string): string | undefined {
  if (isSchema(to)) return from.startsWith('shared/kernel/') ? 'the kernel imports nothing' : undefined;
  if (!to.startsWith('shared/')) return 'shared code imports only shared code and the schemas of config';
  if (rowOf(from) === -1 || rowOf(to) === -1) return 'this part of shared has no row in the import law';
  return rowOf(to) < rowOf(from) ? undefined : `shared/${from.split('/')[1]} must not see ${partOf(to)}`;
}

function serviceVerdict(from: string, to: string): string | undefined {
  if (startsWithAny(to, ['test/', 'loadtest/'])) return 'the product does not import its tests';
  if (to.startsWith('config/'))
    return isSchema(to) || isRoot(from) ? undefined : 'only the start of a process loads settings';
  if (to.startsWith('services/')) {
    const isEntry = !/^services\/[^/]+\/main\.ts$/.test(from);
    if (isRoot(from) && isRoot(to)) return undefined;
    return isRoot(from) && isEntry ? undefined : 'services never import each other';
  }
  return undefined;
}

function projectVerdict(from: string, to: string): string | undefined {
  if (partOf(from) === partOf(to) && from.split('/').length > 2) return undefined;
  if (from.startsWith('test/')) return undefined;
  if (from.startsWith('shared/')) return sharedVerdict(from, to);
  if (from.startsWith('services/')) return serviceVerdict(from, to);
  if (from.startsWith('config/'))
    return to.startsWith('config/') ? undefined : 'config imports nothing of the project';
  if (from.startsWith('loadtest/simulator/'))
    return to.startsWith('shared/kernel/') ? undefined : 'the simulator sees only shared/kernel';
  return to.startsWith('test/') ? 'load tests do not import tests' : undefined;
}

const isOfProject = ({ target }: SourceImport) => startsWithAny(target, [...product, 'loadtest/', 'test/']);

/** Every import that points the wrong way. */
export function brokenImports(files: readonly SourceFile[]): string[] {
  return files.flatMap(({ path, imports }) =>
    imports.flatMap((each) => {
      const verdict = isOfProject(each) ? projectVerdict(path, each.target) : packageVerdict(path, each);
      return verdict ? [`${path}:${each.line}: imports ${each.target}: ${verdict}`] : [];
    }),
  );
}

/** Every cycle, found once, as the list of its files. Type imports count: they make files as hard to understand alone. */
export function importCycles(files: readonly SourceFile[]): string[] {
  const edges = new Map(files.map(({ path, imports }) => [path, imports.map(({ target }) => target)]));
  const finished = new Set<string>();
  const cycles: string[] = [];
  const visit = (path: string, trail: string[]) => {
    const start = trail.indexOf(path);
    if (start !== -1) cycles.push([...trail.slice(start), path].join(' → '));
    if (start !== -1 || finished.has(path)) return;
    for (const next of edges.get(path) ?? []) visit(next, [...trail, path]);
    finished.add(path);
  };
  for (const path of edges.keys()) visit(path, []);
  return cycles;
}

/** `index.ts` and `export *`, which hide where a name comes from. */
export function barrels(files: readonly SourceFile[]): string[] {
  return files.flatMap(({ path, imports }) => [
    ...(path.endsWith('/index.ts') ? [`${path}: no barrels`] : []),
    ...imports
      .filter(({ everything }) => everything)
      .map(({ line }) => `${path}:${line}: export * hides what is exported`),
  ]);
}
