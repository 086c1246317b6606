// A store that tells how long its writes take, from being asked for to being stored.
import type { Clock } from '../lib/clock.ts';
import type { Store } from './store.ts';

/** Gives `store` with every write timed; those that fail count as well, since whoever asked waited for them too. */
export function timedStore(store: Store, clock: Clock, onWrite: (durationMs: number) => void): Store {
  return {
    engine: store.engine,
    read: (work) => store.read(work),
    write(work, options) {
      const sinceMs = clock.monotonicMs();
      return store.write(work, options).finally(() => onWrite(clock.monotonicMs() - sinceMs));
    },
    lock: (tx, key) => store.lock(tx, key),
    backup: (path) => store.backup(path),
    close: () => store.close(),
  };
}
