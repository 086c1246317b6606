// Lets a running service notice what another process, such as the command line, changed in the database.
import { sql } from 'kysely';
import type { Clock } from '../lib/clock.ts';
import { singleFlight } from '../lib/single-flight.ts';
import type { Queries, Store } from './store.ts';

/** What is kept in memory and so must be read again when it changes. */
export type RevisionTopic = 'clients' | 'accounts';

/** One small query: some 20 microseconds on SQLite, so that a change counts within a second. */
const POLL_MS = 1000;

/** To be called in the transaction that changes something of the topic. */
export async function bumpRevision(tx: Queries, topic: RevisionTopic): Promise<void> {
  await tx
    .insertInto('revisions')
    .values({ topic, revision: 1 })
    .onConflict((conflict) => conflict.column('topic').doUpdateSet({ revision: sql<number>`revisions.revision + 1` }))
    .execute();
}

/** Gives the topic's revision, to be read in the transaction that reads what it is about; 0 when nothing was ever changed. */
export async function readRevision(db: Queries, topic: RevisionTopic): Promise<number> {
  const row = await db.selectFrom('revisions').select('revision').where('topic', '=', topic).executeTakeFirst();
  return row?.revision ?? 0;
}

export interface RevisionWatchOptions {
  store: Store;
  clock: Clock;
  topic: RevisionTopic;
  /** Reads the topic anew. When it throws, it is called again at the next look. */
  onChange: () => Promise<void>;
  /** Told when the database could not be asked, or `onChange` threw; what was known stays in use. */
  onFailure?: (error: unknown) => void;
  pollMs?: number;
}

export interface RevisionWatch {
  /** Looks now; callers at the same time share one look. Never throws. */
  look(): Promise<void>;
  close(): void;
}

/**
 * Looks once a second whether the topic has a new revision. A poll, as it works with both engines, sees changes of this
 * process and of others alike, and loses none: PostgreSQL's NOTIFY or SQLite's data_version would only save the query.
 */
export function watchRevision(options: RevisionWatchOptions): RevisionWatch {
  const { store, clock, topic, onChange, onFailure = () => undefined, pollMs = POLL_MS } = options;
  let known: number | undefined;
  let isClosed = false;
  let stopTimer: () => void = () => undefined;

  const look = singleFlight(async () => {
    stopTimer();
    try {
      const revision = await store.read((db) => readRevision(db, topic));
      if (revision !== known && !isClosed) {
        await onChange();
        known = revision;
      }
    } catch (error) {
      onFailure(error);
    }
    if (!isClosed) stopTimer = clock.after(pollMs, () => void look());
  });
  return {
    look,
    close() {
      isClosed = true;
      stopTimer();
    },
  };
}
