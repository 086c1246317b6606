// Keeps the registry of a running service in step with the database, whoever changes it.
import type { Clock } from '../lib/clock.ts';
import { watchRevision, type RevisionWatch } from '../store/revisions.ts';
import type { Store } from '../store/store.ts';
import type { ClientRegistry } from './client-registry.ts';
import type { ClientRepository } from './client-repository.ts';

export interface ClientWatchOptions {
  store: Store;
  clock: Clock;
  /** Whoever keeps the database's clients in memory. */
  keepers: readonly Pick<ClientRegistry, 'replaceStored'>[];
  repository: Pick<ClientRepository, 'list'>;
  /** Called after each change, for instance to pass weights on to the queue. */
  onChange?: () => void;
  /** Told when the database could not be read; the clients that are known stay known. */
  onFailure?: (error: unknown) => void;
}

/** Begins with the first `look`, and from then on notices every change within a second, also one by another process. */
export function watchClients(options: ClientWatchOptions): RevisionWatch {
  const { store, clock, keepers, repository, onChange = () => undefined, onFailure } = options;
  return watchRevision({
    store,
    clock,
    topic: 'clients',
    async onChange() {
      const stored = await repository.list();
      for (const keeper of keepers) keeper.replaceStored(stored);
      onChange();
    },
    ...(onFailure && { onFailure }),
  });
}
