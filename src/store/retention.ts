// Deletes what has outlived its time, a little at a time, so that nobody waits for it. Never for ledger rows: those are kept.
import { sql } from 'kysely';
import type { Store } from './store.ts';

/** Rows per transaction: a few milliseconds of the event loop. */
const BATCH_ROWS = 500;

export interface ExpiredRows {
  /** Table of a room that lets its rows expire. */
  table: string;
  /** Its one-column primary key. */
  key: string;
  /** Column with the time, Unix milliseconds. */
  timeColumn: string;
  beforeMs: number;
}

/**
 * Deletes the rows whose time is before `beforeMs` and gives how many there were.
 * @throws {StoreUnavailableError} when the database cannot be written; what was deleted until then stays deleted.
 */
export async function deleteExpired(store: Store, { table, key, timeColumn, beforeMs }: ExpiredRows): Promise<number> {
  let deleted = 0;
  for (;;) {
    const rows = await store.write(async (tx) => {
      const { rows: gone } = await sql`
        delete from ${sql.table(table)} where ${sql.ref(key)} in (
          select ${sql.ref(key)} from ${sql.table(table)} where ${sql.ref(timeColumn)} < ${beforeMs} limit ${BATCH_ROWS}
        ) returning 1`.execute(tx);
      return gone.length;
    });
    deleted += rows;
    if (rows < BATCH_ROWS) return deleted;
  }
}
