// Gives memory back to the system while there is nothing to do. V8 keeps what a start or a busy hour took: 15 MB after a start alone.
import type { Service } from './service.ts';

export interface IdleMemoryOptions {
  service: Pick<Service, 'running'>;
  /** Node's own; absent where it runs without `--expose-gc`, and then nothing is done. */
  gc?: NodeJS.GCFunction | undefined;
  /** CPU time of this process so far, microseconds. */
  cpuUs?: () => number;
  heapBytes?: () => number;
}

const LOOK_MS = 3000;
/**
 * After the start it is collected at the first quiet moment. Later only after a long one: the collection also throws away what was
 * compiled, and a program that pauses for seconds between bursts would find the service slow each time.
 */
const LONG_QUIET_MS = 600_000;
/** Between two looks: what status reads and keep-alives take. */
const QUIET_US = 60_000;
/** Since the last time: less work than this leaves nothing that is worth it. */
const WORTH_US = 500_000;
/** Collecting stops the service for some 2 ms a megabyte; a long queue is not to wait for that. */
const MOST_HEAP_BYTES = 100 * 1024 ** 2;

/** Looks every few seconds; collects once after the start, and once when work ended long ago. Gives a function that ends it. */
export function freeMemoryWhenIdle({
  service,
  gc = globalThis.gc,
  cpuUs = usedCpuUs,
  heapBytes = () => process.memoryUsage().heapUsed,
}: IdleMemoryOptions): () => void {
  if (!gc) return () => undefined;
  let freedUs = 0;
  let quietMs = 0;
  let leastQuietMs = LOOK_MS;
  let lookedUs = cpuUs();
  const timer = setInterval(() => {
    const nowUs = cpuUs();
    const isQuiet = service.running === 0 && nowUs - lookedUs <= QUIET_US;
    lookedUs = nowUs;
    quietMs = isQuiet ? quietMs + LOOK_MS : 0;
    if (quietMs < leastQuietMs || nowUs - freedUs < WORTH_US || heapBytes() > MOST_HEAP_BYTES) return;
    leastQuietMs = LONG_QUIET_MS;
    // Only a collection of this kind gives the emptied pages back.
    void gc({ type: 'major', execution: 'async', flavor: 'last-resort' }).then(() => {
      freedUs = lookedUs = cpuUs();
    });
  }, LOOK_MS);
  timer.unref();
  return () => clearInterval(timer);
}

function usedCpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}
