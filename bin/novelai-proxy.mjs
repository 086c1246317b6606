#!/usr/bin/env node
// The `novelai-proxy` command: starts src/main.ts (in a clone) or what was built of it (where installed) on Node >= 24.
import { existsSync } from 'node:fs';
import module from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { isNodeNewEnough, replaceWithNode, runNode } from './node24.mjs';
import { memoryEnvironment, MEMORY_FLAGS } from './memory-settings.mjs';

const self = fileURLToPath(import.meta.url);
const source = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const built = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const main = existsSync(source) ? source : built;
/** By then everything that a start needs has been compiled. */
const CACHE_WRITE_MS = 5000;

/**
 * Keeps what Node makes of the source (types stripped, compiled), so that the next start takes half the time and a fifth less
 * memory. In the user's own folders only: whoever can write there can run code as this user anyway. Nothing depends on it.
 */
function keepCompiled() {
  const { constants, enableCompileCache } = module;
  const folders = [
    fileURLToPath(new URL('../node_modules/.cache/novelai-proxy', import.meta.url)),
    join(homedir(), '.cache', 'novelai-proxy'),
  ];
  const isOn = folders.some((folder) => enableCompileCache(folder).status !== constants.compileCacheStatus.FAILED);
  // A service that is killed never comes to the end where Node would write.
  if (isOn) setTimeout(() => module.flushCompileCache(), CACHE_WRITE_MS).unref();
}

try {
  const args = [...MEMORY_FLAGS, self, ...process.argv.slice(2)];
  const isSparing = MEMORY_FLAGS.every((flag) => process.execArgv.includes(flag));
  if (!isNodeNewEnough) runNode(args, memoryEnvironment());
  else if (isSparing || !replaceWithNode([...process.execArgv, ...args], memoryEnvironment())) {
    keepCompiled();
    await import(pathToFileURL(main).href);
  }
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
