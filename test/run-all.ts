// The README's test command: lint, types, the tree's own rules, and every test. Installs the browser where it can.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const resultFile = `${root}data/test-results.json`;

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

function run(command: string, args: readonly string[], quiet = false): boolean {
  const { status } = spawnSync(command, args, { cwd: root, stdio: quiet ? 'ignore' : 'inherit' });
  return status === 0;
}

/** Debian's Chromium for the tests that need a browser; they are skipped where it cannot be had. */
function installBrowser(): void {
  if (existsSync('/usr/bin/chromium') || !existsSync('/usr/bin/apt-get')) return;
  const asRoot = process.getuid?.() === 0 ? [] : ['sudo', '-n'];
  console.log('No Chromium on this machine: installing it with apt (once) …');
  const apt = (...args: string[]) => {
    const [command, ...rest] = [...asRoot, 'apt-get', '-qq', ...args];
    return run(command!, rest, true);
  };
  if (!apt('update') || !apt('install', '-y', '--no-install-recommends', 'chromium')) {
    console.log('It could not be installed; the browser tests will be skipped.');
  }
}

function check(name: string, command: string, ...args: string[]): Counts {
  console.log(`── ${name}`);
  const passed = run(command, args);
  return { passed: passed ? 1 : 0, failed: passed ? 0 : 1, skipped: 0 };
}

function vitest(): Counts {
  console.log('── tests');
  rmSync(resultFile, { force: true });
  mkdirSync(`${root}data`, { recursive: true });
  const ended = run('vitest', [
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${resultFile}`,
  ]);
  if (!existsSync(resultFile)) return { passed: 0, failed: 1, skipped: 0 };
  const report = JSON.parse(readFileSync(resultFile, 'utf8')) as Record<string, number>;
  const failed = report.numFailedTests ?? 0;
  return {
    passed: report.numPassedTests ?? 0,
    // A file that could not be loaded fails the run without failing a test.
    failed: failed === 0 && !ended ? 1 : failed,
    skipped: (report.numPendingTests ?? 0) + (report.numTodoTests ?? 0),
  };
}

installBrowser();
const parts = [
  check('format and lint', 'biome', 'check', '--error-on-warnings', '.'),
  check('promises, cycles', 'oxlint', '--type-aware'),
  check('dead code', 'knip'),
  check('types', 'tsc', '-p', '.'),
  vitest(),
];
const sum = (key: keyof Counts) => parts.reduce((total, part) => total + part[key], 0);
console.log(`${sum('passed')} passed, ${sum('failed')} failed, ${sum('skipped')} skipped`);
process.exitCode = sum('failed') === 0 ? 0 : 1;
