// Runs a TypeScript entry of this project on a Node that can: `node config/check-node.mjs <file.ts> [arguments]`.
// On Linux `npm ci` has put Node 24 into the folder; elsewhere an older Node fetches one through npm.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import module from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';

const self = fileURLToPath(import.meta.url);
const needed = [22, 19];
const [major, minor] = process.versions.node.split('.').map(Number);
const [, , entry, ...args] = process.argv;

function spawnNewer() {
  const installed = fileURLToPath(new URL('../node_modules/.bin/node', import.meta.url));
  if (existsSync(installed)) return spawn(installed, [self, entry, ...args], { stdio: 'inherit' });
  console.error(`Node ${process.versions.node} cannot run TypeScript; fetching Node 24 through npm …`);
  const fetched = ['exec', '--yes', '--ignore-scripts=false', '--package=node@24.21.0', '--', 'node'];
  return spawn('npm', [...fetched, self, entry, ...args], { stdio: 'inherit' });
}

if (major > needed[0] || (major === needed[0] && minor >= needed[1])) {
  // What was compiled once is kept, for the children too: whatever starts again starts in two thirds of the time.
  process.env.NODE_COMPILE_CACHE ??= fileURLToPath(new URL('../data/cache/compiled', import.meta.url));
  module.enableCompileCache?.();
  process.argv.splice(1, 2, entry);
  await import(pathToFileURL(entry).href);
} else {
  const child = spawnNewer();
  // Ctrl-C reaches both; the one that does the work decides when it is over.
  process.on('SIGINT', () => undefined);
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  child.on('exit', (code) => process.exit(code ?? 1));
}
