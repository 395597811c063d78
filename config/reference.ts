import { z } from 'zod';
import { environmentOverrides, liveGroups, settingsSchema } from './schema.ts';

interface Node {
  type?: string;
  description?: string;
  default?: unknown;
  minimum?: number;
  maximum?: number;
  enum?: unknown[];
  properties?: Record<string, Node>;
  additionalProperties?: Node | boolean;
  items?: Node;
}

function boundsOf(node: Node): string {
  if (node.enum) return node.enum.map((value) => `\`${String(value)}\``).join(' ');
  if (node.minimum === undefined || node.maximum === undefined) return '';
  return `${node.minimum.toLocaleString('en')} – ${node.maximum.toLocaleString('en')}`;
}

function rowsOf(node: Node, path: string): string[] {
  if (node.properties)
    return Object.entries(node.properties).flatMap(([key, child]) =>
      rowsOf(child, path ? `${path}.${key}` : key),
    );
  if (typeof node.additionalProperties === 'object')
    return rowsOf(node.additionalProperties, `${path}.<name>`);
  if (node.items?.properties) return rowsOf(node.items, `${path}[]`);
  const preset = node.default === undefined ? '' : `\`${JSON.stringify(node.default)}\``;
  return [`| \`${path}\` | ${node.type ?? ''} | ${preset} | ${boundsOf(node)} | ${node.description ?? ''} |`];
}

/** The whole text of REFERENCE.md. */
export function renderReference(): string {
  const root = z.toJSONSchema(settingsSchema, { io: 'input' }) as Node;
  const groups = Object.entries(root.properties ?? {}).map(([group, node]) => {
    const rows = rowsOf(node, group).join('\n');
    return `## ${group}\n\n| setting | type | default | bounds | what it does |\n|---|---|---|---|---|\n${rows}\n`;
  });
  const variables = Object.entries(environmentOverrides).map(
    ([variable, path]) => `| \`${variable}\` | \`${path.join('.')}\` |`,
  );
  return [
    '# Settings',
    '',
    'Generated from `config/schema.ts` by `npm run reference`. The file is `config/sluice.yaml`, or the one `SLUICE_CONFIG` names.',
    '`${VAR}` and `${VAR:-default}` are replaced inside values. A configuration with a mistake stops the start with a list of all mistakes.',
    `The file is read again when it changes, and on SIGHUP: ${liveGroups.map((group) => `\`${group}\``).join(', ')} take effect in running processes, changes of other groups are reported as needing a restart, and a file with a mistake changes nothing.`,
    '',
    '| environment variable | sets |',
    '|---|---|',
    ...variables,
    '| `SLUICE_CONFIG` | the configuration file |',
    '| `SLUICE_SECRET_KEY` | key that encrypts secrets at rest, at least 32 characters; several with commas between, the newest first |',
    '| `SLUICE_SECRET_KEY_FILE` | file that holds it instead |',
    '',
    ...groups,
  ].join('\n');
}
