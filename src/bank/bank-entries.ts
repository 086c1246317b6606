// The bank's table: which answers are kept for whom, and which Idempotency-Keys were used.
import type { Selectable } from 'kysely';
import { deleteExpired } from '../store/retention.ts';
import type { BankEntriesTable } from '../store/schema.ts';
import type { Queries, Store } from '../store/store.ts';
import type { AnswerHead } from './banked-answer.ts';

export type EntryRow = Selectable<BankEntriesTable>;

export interface NewEntry {
  requestId: string;
  clientId: string;
  idempotencyKey: string | null;
  requestHash: string;
  owner: string;
  createdAtMs: number;
  expiresAtMs: number;
}

/** What an entry was kept with. */
export interface KeptContent {
  head: AnswerHead;
  contentHash: string;
  sizeBytes: number;
  keptAtMs: number;
}

export type Claim =
  | {
      isClaimed: true;
      /** An entry of the same key whose time was over, and which is gone now. */
      displaced?: EntryRow | undefined;
    }
  | { isClaimed: false; row: EntryRow };

/** Every method throws {@link StoreUnavailableError} when the database cannot do it now. */
export class BankEntries {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /**
   * Takes a key for a request, or gives the entry that has it. On the disk later than the reservation of the same request would
   * need it, and never later than its being sent: both go through the same log, in this order.
   */
  claim(entry: NewEntry & { idempotencyKey: string }): Promise<Claim> {
    return this.#store.write<Claim>(
      async (tx) => {
        await this.#store.lock(tx, `bank/${entry.clientId}/${entry.idempotencyKey}`);
        const row = await tx
          .selectFrom('bank_entries')
          .selectAll()
          .where('client_id', '=', entry.clientId)
          .where('idempotency_key', '=', entry.idempotencyKey)
          .executeTakeFirst();
        if (row && row.expires_at_ms > entry.createdAtMs) return { isClaimed: false, row };
        if (row) await tx.deleteFrom('bank_entries').where('id', '=', row.id).execute();
        await insert(tx, { ...rowOf(entry), state: 'running' });
        return { isClaimed: true, displaced: row };
      },
      { isDurable: false },
    );
  }

  find(requestId: string): Promise<EntryRow | undefined> {
    return this.#store.read((db) =>
      db.selectFrom('bank_entries').selectAll().where('id', '=', requestId).executeTakeFirst(),
    );
  }

  /** Writes down that an answer is kept, whether its key had been claimed or it has none. */
  async keep(
    entry: NewEntry,
    { head, contentHash, sizeBytes, keptAtMs }: KeptContent,
    isDelivered: boolean,
  ): Promise<void> {
    const content = {
      state: 'stored' as const,
      head: JSON.stringify(head),
      content_hash: contentHash,
      size_bytes: sizeBytes,
      kept_at_ms: keptAtMs,
      is_delivered: isDelivered ? 1 : 0,
    };
    await this.#store.write((tx) =>
      tx
        .insertInto('bank_entries')
        .values({ ...rowOf(entry), ...content })
        .onConflict((conflict) => conflict.column('id').doUpdateSet(content))
        .execute(),
    );
  }

  /** Writes down that there is no answer to give again for this key, and that the request may have been charged. */
  async lose(requestId: string, why: string): Promise<void> {
    const lost = { state: 'lost' as const, why, head: null, content_hash: null, size_bytes: null };
    await this.#store.write((tx) =>
      tx
        .updateTable('bank_entries')
        .set(lost)
        .where('id', '=', requestId)
        .where('idempotency_key', 'is not', null)
        .execute(),
    );
  }

  /** Forgets an entry, and so frees its key. */
  async forget(requestId: string): Promise<void> {
    await this.#store.write((tx) => tx.deleteFrom('bank_entries').where('id', '=', requestId).execute());
  }

  /** The client has it after all. */
  async setDelivered(requestId: string): Promise<void> {
    await this.#store.write(
      (tx) => tx.updateTable('bank_entries').set({ is_delivered: 1 }).where('id', '=', requestId).execute(),
      { isDurable: false },
    );
  }

  /** Gives what is kept, the oldest first. */
  stored(): Promise<EntryRow[]> {
    return this.#store.read((db) =>
      db.selectFrom('bank_entries').selectAll().where('state', '=', 'stored').orderBy('kept_at_ms').execute(),
    );
  }

  /** Gives what processes that are no more had claimed and not ended. */
  unended(liveOwners: readonly string[]): Promise<EntryRow[]> {
    return this.#store.read((db) =>
      db
        .selectFrom('bank_entries')
        .selectAll()
        .where('state', '=', 'running')
        .where('owner', 'not in', liveOwners)
        .execute(),
    );
  }

  /** Deletes entries whose time is over; running ones are never that old. */
  deleteExpired(beforeMs: number): Promise<number> {
    return deleteExpired(this.#store, { table: 'bank_entries', key: 'id', timeColumn: 'expires_at_ms', beforeMs });
  }
}

async function insert(tx: Queries, row: EntryRow): Promise<void> {
  await tx.insertInto('bank_entries').values(row).execute();
}

function rowOf(entry: NewEntry): EntryRow {
  return {
    id: entry.requestId,
    client_id: entry.clientId,
    idempotency_key: entry.idempotencyKey,
    request_hash: entry.requestHash,
    state: 'running',
    why: null,
    owner: entry.owner,
    head: null,
    content_hash: null,
    size_bytes: null,
    kept_at_ms: null,
    is_delivered: 0,
    created_at_ms: entry.createdAtMs,
    expires_at_ms: entry.expiresAtMs,
  };
}
