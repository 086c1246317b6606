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
const EVERY_MS = 5000;

function sample(): void {
  globalThis.gc?.();
  const { rss, heapUsed, external } = process.memoryUsage();
  const kept: KeptMemory = { atMs: Date.now(), rssBytes: rss, keptBytes: heapUsed + external };
  if (file !== undefined) appendFileSync(file, `${JSON.stringify(kept)}\n`);
}

if (file !== undefined) setInterval(sample, EVERY_MS).unref();
