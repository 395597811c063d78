#!/usr/bin/env node
// The `sluice` command: the command line of this checkout, on a Node that can run it.
import { fileURLToPath } from 'node:url';

process.argv.splice(2, 0, fileURLToPath(new URL('../services/cli/main.ts', import.meta.url)));
await import('./check-node.mjs');
