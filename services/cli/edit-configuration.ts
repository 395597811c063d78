import { isDeepStrictEqual } from 'node:util';
import { isMap, isNode, isScalar, isSeq, type Node, parseDocument, stringify } from 'yaml';
import { usageError } from './cli-error.ts';

/** A key as the configuration holds it. */
export interface KeyEntry {
  id: string;
  key: string;
}

type Customers = Record<string, { keys?: KeyEntry[] }>;

/**
 * The text of a configuration with one more key. Only the new lines differ: what is there, comments too, stays as it is.
 *
 * @throws CliError when the file is written in a way that would have to be rewritten for it
 */
export function withKey(text: string, tenant: string, entry: KeyEntry): string {
  const document = parseDocument(text);
  const keys: unknown = document.getIn(['customers', tenant, 'keys'], true);
  const customers: unknown = document.getIn(['customers'], true);
  const flow = `{ id: ${scalarText(entry.id)}, key: ${scalarText(entry.key)} }`;
  let edited: string | undefined;
  if (isSeq(keys)) {
    const last = keys.items.at(-1);
    if (isNode(last))
      edited = keys.flow ? afterNode(text, last, `, ${flow}`) : afterItem(text, keys, last, flow);
  } else if (isMap(customers) && !customers.flow && document.getIn(['customers', tenant]) === undefined) {
    const indent = ' '.repeat(columnOf(text, customers));
    const lines = `${indent}${scalarText(tenant)}:\n${indent}  keys:\n${indent}    - ${flow}\n`;
    edited = afterLine(text, customers, lines);
  }
  if (edited !== undefined && isDeepStrictEqual(parseDocument(edited).toJS(), wanted(text, tenant, entry)))
    return edited;
  throw usageError('The configuration is written in a way that is not edited here.', 'Add the key by hand.');
}

const scalarText = (value: string) => stringify(value).trimEnd();

/** What the edited file must mean. */
function wanted(text: string, tenant: string, entry: KeyEntry): unknown {
  const values = parseDocument(text).toJS() as { customers: Customers };
  const customer = values.customers[tenant];
  const keys = [...(customer?.keys ?? []), entry];
  return { ...values, customers: { ...values.customers, [tenant]: { ...customer, keys } } };
}

/** Column of the first item of a block. */
function columnOf(text: string, block: Node): number {
  const [start] = block.range!;
  return start - (text.lastIndexOf('\n', start - 1) + 1);
}

function afterNode(text: string, { range }: Node, insert: string): string {
  return text.slice(0, range![1]) + insert + text.slice(range![1]);
}

const afterItem = (text: string, keys: Node, last: Node, flow: string) =>
  afterLine(text, last, `${' '.repeat(columnOf(text, keys))}- ${flow}\n`);

/** Behind the line on which a node ends. */
function afterLine(text: string, node: Node, lines: string): string {
  const end =
    isScalar(node) || text[node.range![1] - 1] !== '\n'
      ? text.indexOf('\n', node.range![1]) + 1
      : node.range![1];
  if (end === 0) return `${text}\n${lines}`;
  return text.slice(0, end) + lines + text.slice(end);
}
