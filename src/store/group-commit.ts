// Lets many small writes share one SQLite transaction, and keeps one that fails from harming the others.
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Kysely } from 'kysely';
import type { Schema } from './schema.ts';
import type { Queries, WriteOptions } from './store.ts';
import { asStoreError, faultOf, StoreUnavailableError } from './store-error.ts';

/** Bounds how long one transaction keeps the event loop: about 20 ms of ledger rows. */
const MAX_BATCH = 128;

interface Item {
  work: (tx: Queries) => Promise<unknown>;
  isDurable: boolean;
  resolve: (value: unknown) => void;
  reject: (error: unknown) => void;
}

/** What became of one item inside its transaction. */
type Result = { item: Item; isOk: true; value: unknown } | { item: Item; isOk: false; error: unknown };

class CannotBegin extends Error {}

export interface GroupCommitOptions {
  database: DatabaseSync;
  db: Kysely<Schema>;
  /** Resolves when all that was committed before is on the disk. */
  flush: () => Promise<void>;
}

/**
 * Writes that arrive in one turn of the event loop run one after the other in one transaction. When one of them throws, which is
 * rare, nothing of the batch is stored, and each item gets one more chance in a transaction of its own: so what an item does
 * beside its queries must bear being done twice.
 */
export class GroupCommit {
  readonly #options: GroupCommitOptions;
  readonly #batches = new Set<Promise<void>>();
  readonly #beginStatement: StatementSync;
  readonly #commitStatement: StatementSync;
  #queue: Item[] = [];
  #running: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: GroupCommitOptions) {
    this.#options = options;
    this.#beginStatement = options.database.prepare('begin immediate');
    this.#commitStatement = options.database.prepare('commit');
  }

  add<T>(work: (tx: Queries) => Promise<T>, { isDurable = true, isUrgent = false }: WriteOptions = {}): Promise<T> {
    if (this.#isClosed) return Promise.reject(new StoreUnavailableError('closed'));
    return new Promise<T>((resolve, reject) => {
      const item: Item = { work, isDurable, resolve: (value) => resolve(value as T), reject };
      if (isUrgent) {
        // Whoever waits for the end of this turn goes along: a commit takes longer than their queries.
        this.#begin([item, ...this.#queue.splice(0, MAX_BATCH - 1)]);
        return;
      }
      this.#queue.push(item);
      this.#running ??= this.#run();
    });
  }

  /** Takes nothing more, and resolves when everything taken has ended. */
  async close(): Promise<void> {
    this.#isClosed = true;
    while (this.#running) await this.#running;
    await Promise.all(this.#batches);
  }

  async #run(): Promise<void> {
    do {
      // Everything else that this turn of the loop brings joins the same transaction.
      await new Promise((resolve) => setImmediate(resolve));
      // Not waited for: while one batch is on its way to the disk, the next one is already being written.
      if (this.#queue.length > 0) this.#begin(this.#queue.splice(0, MAX_BATCH));
    } while (this.#queue.length > 0);
    this.#running = undefined;
  }

  /** One that is still writing its transaction is waited for. */
  #begin(items: Item[]): void {
    const batch = this.#runBatch(items).finally(() => this.#batches.delete(batch));
    this.#batches.add(batch);
  }

  async #runBatch(items: Item[]): Promise<void> {
    const committed: { item: Item; value: unknown }[] = [];
    for (const result of await this.#resultsOf(items)) {
      const { item } = result;
      if (!result.isOk) item.reject(asStoreError(result.error));
      else if (item.isDurable) committed.push(result);
      else item.resolve(result.value);
    }
    if (committed.length === 0) return;
    try {
      await this.#options.flush();
      for (const { item, value } of committed) item.resolve(value);
    } catch (cause) {
      for (const { item } of committed)
        item.reject(new StoreUnavailableError(faultOf(cause) ?? 'io', { cause, isInDoubt: true }));
    }
  }

  async #resultsOf(items: Item[]): Promise<Result[]> {
    try {
      return await this.#transact(items);
    } catch (error) {
      // Another process writes, or nothing can be written: no item would fare better alone, and each try may block.
      if (error instanceof CannotBegin) return items.map((item) => ({ item, isOk: false, error: error.cause }));
      if (items.length === 1) return items.map((item) => ({ item, isOk: false, error }));
    }
    const alone: Result[] = [];
    for (const item of items) alone.push(...(await this.#resultsOf([item])));
    return alone;
  }

  /** @throws what an item threw, or SQLite; then nothing is stored. */
  #transact(items: Item[]): Promise<Result[]> {
    const { database, db } = this.#options;
    return db.connection().execute(async (connection) => {
      try {
        this.#beginStatement.run();
      } catch (cause) {
        throw new CannotBegin('The transaction cannot begin.', { cause });
      }
      try {
        const results: Result[] = [];
        for (const item of items) results.push({ item, isOk: true, value: await item.work(connection) });
        this.#commitStatement.run();
        return results;
      } catch (error) {
        if (database.isTransaction) database.exec('rollback');
        throw error;
      }
    });
  }
}
