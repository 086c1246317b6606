// What prom-client knows of the process itself: CPU, memory, event loop, garbage collection.
import { collectDefaultMetrics, Registry } from 'prom-client';

let registry: Registry | undefined;

/** Gives the process's metrics. Made once, at the first call: they watch the process for as long as it lives. */
export function processMetrics(): Registry {
  if (!registry) {
    registry = new Registry();
    collectDefaultMetrics({ register: registry });
  }
  return registry;
}
