// Runs a TypeScript entry of this project on a Node that can: `node config/check-node.mjs <file.ts> [arguments]`.
// On Linux `npm ci` has put Node 24 on the path of every npm script; elsewhere an older Node fetches one through npm.
import { spawn } from 'node:child_process';
import { pathToFileURL } from 'node:url';

const needed = [22, 19];
const [major, minor] = process.versions.node.split('.').map(Number);
const [, , entry, ...args] = process.argv;
if (major > needed[0] || (major === needed[0] && minor >= needed[1])) {
  process.argv.splice(1, 2, entry);
  await import(pathToFileURL(entry).href);
} else {
  console.error(`Node ${process.versions.node} cannot run TypeScript; fetching Node 24 through npm …`);
  const child = spawn(
    'npm',
    ['exec', '--yes', '--ignore-scripts=false', '--package=node@24.21.0', '--', 'node', entry, ...args],
    { stdio: 'inherit' },
  );
  child.on('exit', (code) => process.exit(code ?? 1));
}
