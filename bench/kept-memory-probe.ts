// Loaded into the proxy's process by a bench (`--expose-gc --import`): collects all garbage from time to time, and writes down what
// memory is left then. Between two collections it goes up and down by tens of megabytes, which hides any leak.
import { appendFileSync } from 'node:fs';

/** What a process holds when its garbage is collected. */
export interface KeptMemory {
  /** Wall clock, Unix milliseconds. */
  atMs: number;
  rssBytes: number;
  /** Objects of V8 and memory of Buffers. */
  keptBytes: number;
}

const file = process.env['KEPT_MEMORY_FILE'];
const { gc } = globalThis;
const EVERY_MS = 5000;

function sample(file: string, collect: NodeJS.GCFunction): void {
  collect();
  const { rss, heapUsed, external } = process.memoryUsage();
  const kept: KeptMemory = { atMs: Date.now(), rssBytes: rss, keptBytes: heapUsed + external };
  appendFileSync(file, `${JSON.stringify(kept)}\n`);
}

// Without `--expose-gc` nothing is written, and the bench has nothing to judge.
if (file !== undefined && gc) setInterval(() => sample(file, gc), EVERY_MS).unref();
