#!/usr/bin/env node
// The `novelai-proxy` command: starts src/main.ts (in a clone) or its compiled form (where installed) on Node >= 24.
import { existsSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { isNodeNewEnough, runNode } from './node24.mjs';

const source = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const compiled = fileURLToPath(new URL('../dist/src/main.js', import.meta.url));
const main = existsSync(source) ? source : compiled;

try {
  if (isNodeNewEnough) await import(pathToFileURL(main).href);
  else runNode([main, ...process.argv.slice(2)]);
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
