import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { barrels, brokenImports, importCycles } from './architecture/import-law.ts';
import { parseSource, readTree } from './architecture/source-file.ts';
import {
  environmentReads,
  leftovers,
  longFiles,
  longFunctions,
  timeAndChance,
} from './architecture/source-rules.ts';

describe('the tree', () => {
  const tree = readTree(fileURLToPath(new URL('..', import.meta.url)));

  test('has files to judge', () => {
    expect(tree.map(({ path }) => path)).toEqual(
      expect.arrayContaining(['config/schema.ts', 'shared/kernel/clock.ts', 'services/all.ts']),
    );
    expect(tree.flatMap(({ imports }) => imports).length).toBeGreaterThan(200);
  });

  test.each([
    ['imports only point the way of the law', brokenImports],
    ['no file imports itself through others', importCycles],
    ['no barrels', barrels],
    ['only config/load.ts reads the environment', environmentReads],
    ['time and chance come from the kernel', timeAndChance],
    ['functions fit on a screen', longFunctions],
    ['files are short', longFiles],
    ['nothing is left undone without an owner', leftovers],
  ])('%s', (_name, rule) => {
    expect(rule(tree)).toEqual([]);
  });
});

/** A file that exists only here. */
const planted = (path: string, text: string) => parseSource(path, text);

describe('a violation is found', () => {
  test.each([
    ['services/worker/run.ts', `import { a } from '../ingress/app.ts';`],
    ['services/worker/run.ts', `import type { A } from '../ingress/app.ts';`],
    ['services/worker/run.ts', `import { loadSettings } from '#config/load.ts';`],
    ['services/worker/main.ts', `import { a } from '../ingress/app.ts';`],
    ['services/worker/run.ts', `import { a } from '../all.ts';`],
    ['services/worker/run.ts', `import { until } from '#test/harness/until.ts';`],
    ['services/all.ts', `import { startSimulator } from '../loadtest/simulator/start-simulator.ts';`],
    ['shared/kernel/clock.ts', `import type { Settings } from '#config/schema.ts';`],
    ['shared/kernel/clock.ts', `import { keys } from '#shared/redis/keys.ts';`],
    ['shared/contracts/job.ts', `import { keys } from '#shared/redis/keys.ts';`],
    ['shared/contracts/job.ts', `import { metrics } from '../telemetry/metrics.ts';`],
    ['shared/redis/keys.ts', `import { a } from '#shared/jobs/job-store.ts';`],
    ['shared/jobs/job-store.ts', `import { a } from '#shared/queue/pool-queue.ts';`],
    ['shared/queue/pool-queue.ts', `export { a } from '#shared/results/announce.ts';`],
    ['shared/results/announce.ts', `const { a } = await import('#shared/jobs/scripts.ts');`],
    ['shared/tenants/virtual-keys.ts', `import { a } from '#shared/tokens/estimate.ts';`],
    ['shared/jobs/job-store.ts', `import { loadSettings } from '#config/load.ts';`],
    ['shared/jobs/job-store.ts', `import { runJob } from '../../services/worker/run-job.ts';`],
    ['shared/other/thing.ts', `import { a } from '#shared/kernel/clock.ts';`],
    ['config/schema.ts', `import { a } from '#shared/kernel/clock.ts';`],
    ['loadtest/simulator/call.ts', `import { a } from '#shared/contracts/job.ts';`],
    ['loadtest/bench/main.ts', `import { a } from '#test/harness/until.ts';`],
    ['shared/jobs/job-store.ts', `import { Redis } from 'ioredis';`],
    ['shared/jobs/job-store.ts', `import type { Redis } from 'ioredis';`],
    ['services/ingress/app.ts', `import { Queue } from 'bullmq';`],
    ['shared/telemetry/tracing.ts', `import { Queue } from 'bullmq';`],
    ['services/worker/run.ts', `import { request } from 'undici';`],
    ['services/ingress/routes/calls.ts', `type Pool = import('undici').Pool;`],
  ])('wrong import in %s: %s', (path, text) => {
    expect(brokenImports([planted(path, text)])).toEqual([expect.stringContaining(`${path}:1: `)]);
  });

  test.each([
    [
      'services/all.ts',
      `import { a } from './ingress/app.ts'; import { b } from './run-process.ts'; import { c } from '#config/load.ts';`,
    ],
    [
      'services/worker/main.ts',
      `import { a } from './app.ts'; import { b } from '../run-process.ts'; import { c } from '#config/load.ts';`,
    ],
    [
      'services/worker/run.ts',
      `import { a } from './failures/classify.ts'; import type { S } from '#config/schema.ts'; import { j } from '#shared/jobs/job-store.ts';`,
    ],
    [
      'shared/jobs/job-store.ts',
      `import { a } from './scripts.ts'; import { k } from '#shared/redis/keys.ts'; import { z } from 'zod';`,
    ],
    [
      'shared/telemetry/tracing.ts',
      `import type { Telemetry } from 'bullmq'; import { c } from '#shared/kernel/clock.ts';`,
    ],
    ['shared/queue/pool-queue.ts', `import { Queue } from 'bullmq'; import { Redis } from 'ioredis';`],
    ['services/worker/http/provider-client.ts', `import { request } from 'undici';`],
    [
      'loadtest/simulator/call.ts',
      `import { c } from '#shared/kernel/clock.ts'; import { d } from './reply.ts';`,
    ],
    [
      'test/path/a.test.ts',
      `import { a } from '../../services/worker/run-job.ts'; import { Redis } from 'ioredis';`,
    ],
  ])('right imports in %s are left alone', (path, text) => {
    expect(brokenImports([planted(path, text)])).toEqual([]);
  });

  test('a cycle, also one of types alone', () => {
    const files = [
      planted('shared/jobs/a.ts', `import { b } from './b.ts';`),
      planted('shared/jobs/b.ts', `import type { C } from '#shared/jobs/c.ts';`),
      planted('shared/jobs/c.ts', `export { a } from './a.ts';`),
      planted('shared/jobs/d.ts', `import { a } from './a.ts';`),
    ];
    expect(importCycles(files)).toEqual([
      'shared/jobs/a.ts → shared/jobs/b.ts → shared/jobs/c.ts → shared/jobs/a.ts',
    ]);
  });

  test('a barrel by name and by form', () => {
    expect(
      barrels([planted('shared/jobs/index.ts', ''), planted('shared/jobs/a.ts', `export * from './b.ts';`)]),
    ).toHaveLength(2);
    expect(barrels([planted('shared/jobs/a.ts', `export * as b from './b.ts';`)])).toHaveLength(1);
  });

  test('an environment read, but not a word in a text', () => {
    expect(environmentReads([planted('services/a.ts', 'const a = process.env.HOME;')])).toHaveLength(1);
    expect(environmentReads([planted('config/load.ts', 'const a = process.env;')])).toEqual([]);
    expect(environmentReads([planted('services/a.ts', `const a = 'process.env'; // process.env`)])).toEqual(
      [],
    );
  });

  test.each([
    'Date.now()',
    'new Date()',
    'setTimeout(f, 1)',
    'setInterval(f, 1)',
    'setImmediate(f)',
    'Math.random()',
    'performance.now()',
    'globalThis.setTimeout(f, 1)',
  ])('%s', (text) => {
    expect(timeAndChance([planted('services/a.ts', text)])).toHaveLength(1);
    expect(timeAndChance([planted('shared/kernel/a.ts', text)])).toEqual([]);
  });

  test('a module of timers', () => {
    expect(
      timeAndChance([planted('services/a.ts', `import { setTimeout } from 'node:timers/promises';`)]),
    ).toHaveLength(1);
  });

  test.each([
    'new Date(ms)',
    'AbortSignal.timeout(1)',
    'Date.parse(text)',
    'socket.setTimeout(1)',
    'clock.nowMs()',
  ])('%s is no violation', (text) => {
    expect(timeAndChance([planted('services/a.ts', text)])).toEqual([]);
  });

  test('a long function, a long method and a long file', () => {
    const lines = (count: number) => 'f();\n'.repeat(count);
    expect(longFunctions([planted('services/a.ts', `function a() {\n${lines(69)}}`)])).toHaveLength(1);
    expect(longFunctions([planted('services/a.ts', `function a() {\n${lines(68)}}`)])).toEqual([]);
    expect(longFunctions([planted('services/a.ts', `class A { b() {\n${lines(80)}} }`)])).toHaveLength(1);
    expect(longFunctions([planted('test/a.test.ts', `describe('a', () => {\n${lines(80)}});`)])).toEqual([]);
    expect(
      longFunctions([planted('test/a.test.ts', `describe.each([1])('a', () => {\n${lines(80)}});`)]),
    ).toEqual([]);
    expect(longFunctions([planted('test/a.test.ts', `test('a', () => {\n${lines(80)}});`)])).toHaveLength(1);
    expect(longFiles([planted('services/a.ts', lines(401))])).toHaveLength(1);
    expect(longFiles([planted('services/a.ts', lines(400))])).toEqual([]);
  });

  test('a TODO in a comment, but not in a text', () => {
    expect(leftovers([planted('services/a.ts', '// TODO: later')])).toHaveLength(1);
    expect(leftovers([planted('services/a.ts', `const state = 'TODO';`)])).toEqual([]);
  });
});
