import { readdirSync, readFileSync } from 'node:fs';
import { join, posix, relative } from 'node:path';
import { parseSync } from 'oxc-parser';

export interface SourceImport {
  /** Path from the root for a file of the project, otherwise the name of the package. */
  target: string;
  /** Whether it is gone at run time. */
  typeOnly: boolean;
  /** `export * from`. */
  everything: boolean;
  line: number;
}

interface SyntaxNode {
  type: string;
  start: number;
  end: number;
  [field: string]: unknown;
}

/** One file, parsed: what the rules of the tree look at. */
export interface SourceFile {
  /** Path from the root, with slashes. */
  path: string;
  text: string;
  imports: SourceImport[];
  comments: { text: string; line: number }[];
  nodes: SyntaxNode[];
  lineAt: (offset: number) => number;
}

function isNode(value: unknown): value is SyntaxNode {
  return typeof value === 'object' && value !== null && typeof (value as SyntaxNode).type === 'string';
}

function allNodes(root: unknown, into: SyntaxNode[]): SyntaxNode[] {
  if (Array.isArray(root)) for (const each of root) allNodes(each, into);
  if (!isNode(root)) return into;
  into.push(root);
  for (const child of Object.values(root)) if (typeof child === 'object') allNodes(child, into);
  return into;
}

/** `#shared/…` and `./…` become paths from the root; anything else is a package. */
function targetOf(path: string, specifier: string): string {
  if (specifier.startsWith('#')) return specifier.slice(1);
  return specifier.startsWith('.') ? posix.join(posix.dirname(path), specifier) : specifier;
}

export function parseSource(path: string, text: string): SourceFile {
  const { program, module, comments, errors } = parseSync(path, text);
  if (errors.length > 0) throw new Error(`${path}: ${errors[0]!.message}`);
  const lineAt = (offset: number) => text.slice(0, offset).split('\n').length;
  const nodes = allNodes(program, []);
  const importOf = (specifier: string, at: number, typeOnly: boolean, everything = false): SourceImport => ({
    target: targetOf(path, specifier),
    typeOnly,
    everything,
    line: lineAt(at),
  });
  const imports = [
    ...module.staticImports.map(({ moduleRequest, entries, start }) =>
      importOf(moduleRequest.value, start, entries.length > 0 && entries.every(({ isType }) => isType)),
    ),
    ...module.staticExports.flatMap(({ entries, start }) =>
      entries
        .filter(({ moduleRequest }) => moduleRequest !== null)
        .map(({ moduleRequest, isType, importName }) =>
          importOf(
            moduleRequest!.value,
            start,
            isType,
            importName.kind === 'AllButDefault' || importName.kind === 'All',
          ),
        ),
    ),
    ...nodes
      .filter(({ type }) => type === 'ImportExpression' || type === 'TSImportType')
      .flatMap((node) => {
        const { value } = node.source as { value?: unknown };
        return typeof value === 'string' ? [importOf(value, node.start, node.type === 'TSImportType')] : [];
      }),
  ];
  const remarks = comments.map(({ value, start }) => ({ text: value, line: lineAt(start) }));
  return { path, text, imports, comments: remarks, nodes, lineAt };
}

const folders = ['config', 'loadtest', 'services', 'shared', 'test'];

/** All TypeScript of the project. */
export function readTree(root: string): SourceFile[] {
  return folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
      .map((entry) => {
        const file = join(entry.parentPath, entry.name);
        return parseSource(relative(root, file).replaceAll('\\', '/'), readFileSync(file, 'utf8'));
      }),
  );
}
