import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { type ErrorCode, errorCatalog } from '#shared/kernel/error-catalog.ts';
import { describeError, SluiceError, sentenceOf } from '#shared/kernel/errors.ts';
import { readTree, type SourceFile } from '../../architecture/source-file.ts';

const codes = Object.keys(errorCatalog) as ErrorCode[];
const placesOf = (code: ErrorCode) =>
  [...errorCatalog[code].sentence.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!);

describe.each(codes)('%s', (code) => {
  const { status, type, anthropicType, retryable } = errorCatalog[code];

  test('has a whole sentence once its fields are known', () => {
    const fields = Object.fromEntries(placesOf(code).map((name) => [name, 'value']));
    const sentence = sentenceOf(code, fields);
    expect(sentence).not.toMatch(/[{}]/);
    if (code !== 'invalid_request') expect(sentence).toMatch(/^[A-Z].*\.$/);
  });

  test('has a status and types that belong together', () => {
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThan(600);
    if (status >= 500) expect(type).toBe('server_error');
    // A stream that started anew may be read from its start.
    if (status < 500) expect(retryable).toBe(status === 429 || code === 'stream_restarted');
    if (status === 400) expect(anthropicType).toBe('invalid_request_error');
  });
});

interface Thrown {
  at: string;
  code: ErrorCode;
  fields: string[];
}

type SyntaxNode = SourceFile['nodes'][number];
interface ObjectNode {
  type: string;
  properties?: { key?: { name?: string }; value?: ObjectNode }[];
}

/** Field names of `{ fields: { a, b } }`; undefined when they cannot be told from the text. */
function fieldsOf(options: ObjectNode | undefined): string[] | undefined {
  if (!options) return [];
  if (options.type !== 'ObjectExpression') return undefined;
  const fields = options.properties?.find(({ key }) => key?.name === 'fields');
  if (!fields) return [];
  if (fields.value?.type !== 'ObjectExpression') return undefined;
  return fields.value.properties?.map(({ key }) => key?.name ?? '') ?? [];
}

function thrownBy({ path, nodes, lineAt }: SourceFile): Thrown[] {
  return nodes.flatMap((node: SyntaxNode) => {
    const callee = (node.callee as { name?: string } | undefined)?.name;
    if (node.type !== 'NewExpression' || callee !== 'SluiceError') return [];
    const [first, options] = node.arguments as [{ value?: unknown }?, ObjectNode?];
    const fields = fieldsOf(options);
    if (typeof first?.value !== 'string' || !fields) return [];
    return [{ at: `${path}:${lineAt(node.start)}`, code: first.value as ErrorCode, fields }];
  });
}

describe('where errors are made', () => {
  const product = readTree(fileURLToPath(new URL('../../..', import.meta.url))).filter(({ path }) =>
    /^(?:services|shared)\//.test(path),
  );
  const thrown = product.flatMap(thrownBy);

  test('every place of the sentence is filled', () => {
    expect(thrown.length).toBeGreaterThan(20);
    const unfilled = thrown.flatMap(({ at, code, fields }) =>
      placesOf(code)
        .filter((place) => !fields.includes(place))
        .map((place) => `${at}: ${code} lacks ${place}`),
    );
    expect(unfilled).toEqual([]);
  });

  test('no code of the catalogue is never used', () => {
    const texts = product
      .filter(({ path }) => path !== 'shared/kernel/error-catalog.ts')
      .flatMap(({ nodes }) => nodes.filter(({ type }) => type === 'Literal').map(({ value }) => value));
    expect(codes.filter((code) => !texts.includes(code))).toEqual([]);
  });
});

test('a value is cut, is not read as a place, and a name without a value stays visible', () => {
  expect(sentenceOf('job_not_found', { job: 'x'.repeat(1_000) }).length).toBeLessThan(400);
  expect(sentenceOf('route_not_found', { method: '{path}', path: '/p' })).toBe(
    'There is no route {path} /p.',
  );
  expect(sentenceOf('job_not_found', {})).toContain('{job}');
});

test('the cause stays inside: neither the message nor what JSON makes of the error holds it', () => {
  const error = new SluiceError('internal', { fields: { request: 'r' }, cause: new Error('canary') });
  expect(error.message).not.toContain('canary');
  expect(JSON.stringify(error)).not.toContain('canary');
  expect(error.cause).toMatchObject({ message: 'canary' });
});

test('anything thrown has a short text', () => {
  expect(describeError(new Error('a'))).toBe('a');
  expect(describeError('b')).toBe('b');
  expect(describeError(undefined)).toBe('undefined');
});
