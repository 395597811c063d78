import type { SourceFile } from './source-file.ts';

type SyntaxNode = SourceFile['nodes'][number];

const functionLinesMax = 70;
const fileLinesMax = 400;
const environmentReader = 'config/load.ts';
const kernel = 'shared/kernel/';

const nameOf = (node: unknown) => (node as { name?: string } | undefined)?.name ?? '';

/** `object.property` of a member expression, otherwise ''. */
function memberName(node: SyntaxNode): string {
  return node.type === 'MemberExpression' ? `${nameOf(node.object)}.${nameOf(node.property)}` : '';
}

const clockMembers = new Set(['Date.now', 'performance.now', 'Math.random']);
const timerNames = new Set(['setTimeout', 'setInterval', 'setImmediate']);
const timerModules = new Set(['node:timers', 'node:timers/promises', 'node:perf_hooks']);

/** Reads the clock, sets a timer or throws dice. `new Date(ms)` only converts. */
function useOfTimeOrChance(node: SyntaxNode): string | undefined {
  const member = memberName(node);
  if (clockMembers.has(member) || member.startsWith('globalThis.set')) return member;
  if (node.type === 'CallExpression' && timerNames.has(nameOf(node.callee))) return nameOf(node.callee);
  const readsDate =
    node.type === 'NewExpression' &&
    nameOf(node.callee) === 'Date' &&
    (node.arguments as unknown[]).length === 0;
  return readsDate ? 'new Date()' : undefined;
}

export function timeAndChance(files: readonly SourceFile[]): string[] {
  return files
    .filter(({ path }) => !path.startsWith(kernel))
    .flatMap(({ path, nodes, imports, lineAt }) => [
      ...imports
        .filter(({ target }) => timerModules.has(target))
        .map(({ target, line }) => `${path}:${line}: imports ${target}`),
      ...nodes.flatMap((node) => {
        const use = useOfTimeOrChance(node);
        return use ? [`${path}:${lineAt(node.start)}: ${use} outside ${kernel}`] : [];
      }),
    ]);
}

export function environmentReads(files: readonly SourceFile[]): string[] {
  return files
    .filter(({ path }) => path !== environmentReader)
    .flatMap(({ path, nodes, lineAt }) =>
      nodes
        .filter((node) => memberName(node) === 'process.env')
        .map((node) => `${path}:${lineAt(node.start)}: process.env outside ${environmentReader}`),
    );
}

/** Name at the root of a call: `describe` for `describe(…)`, `describe.skipIf(…)(…)` and `describe.each(…)(…)`. */
function rootName(callee: unknown): string {
  const {
    name,
    callee: inner,
    object,
  } = (callee ?? {}) as { name?: string; callee?: unknown; object?: unknown };
  return name ?? (inner || object ? rootName(inner ?? object) : '');
}

const functionTypes = new Set(['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression']);

export function longFunctions(files: readonly SourceFile[]): string[] {
  return files.flatMap(({ path, nodes, lineAt }) => {
    // `describe` groups tests; its callback is a list of them, not a function to be followed.
    const groups = new Set(
      nodes
        .filter((node) => node.type === 'CallExpression' && rootName(node.callee) === 'describe')
        .flatMap((node) => node.arguments as SyntaxNode[]),
    );
    return nodes
      .filter((node) => functionTypes.has(node.type) && !groups.has(node))
      .map((node) => ({ line: lineAt(node.start), lines: lineAt(node.end) - lineAt(node.start) + 1 }))
      .filter(({ lines }) => lines > functionLinesMax)
      .map(({ line, lines }) => `${path}:${line}: a function of ${lines} lines`);
  });
}

export function longFiles(files: readonly SourceFile[], linesMax = fileLinesMax): string[] {
  return files
    .map(({ path, text }) => ({ path, lines: text.trimEnd().split('\n').length }))
    .filter(({ lines }) => lines > linesMax)
    .map(({ path, lines }) => `${path}: ${lines} lines`);
}

/** Work left undone belongs into the list of known limits, with an owner. */
export function leftovers(files: readonly SourceFile[]): string[] {
  return files.flatMap(({ path, comments }) =>
    comments
      .filter(({ text }) => /\b(?:TODO|FIXME|XXX)\b/.test(text))
      .map(({ line }) => `${path}:${line}: unfinished`),
  );
}
