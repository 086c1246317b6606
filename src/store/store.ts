// What the rooms above know of the database: the same for SQLite and PostgreSQL.
import type { Kysely } from 'kysely';
import type { Schema } from './schema.ts';

/** Builds and runs queries, inside the transaction it was handed out for. */
export type Queries = Kysely<Schema>;

export interface WriteOptions {
  /**
   * Whether the promise waits until the work has reached the disk (default), or only until it is committed: then it survives
   * the death of this process, but perhaps not a power cut. For what may be lost with the power, at no harm.
   */
  isDurable?: boolean;
  /** Whether somebody stands idle for it: then it does not wait for others that could share its commit. */
  isUrgent?: boolean;
}

export interface Store {
  readonly engine: 'sqlite' | 'postgres';
  /**
   * Runs queries on one consistent state of the database. `work` must wait for nothing but its queries: on SQLite, nobody else
   * gets to the database meanwhile.
   * @throws {StoreUnavailableError} when the database cannot answer now.
   */
  read<T>(work: (db: Queries) => Promise<T>): Promise<T>;
  /**
   * Runs `work` as one transaction: all of it is stored or, when it throws, nothing. Many small writes at once share one
   * commit. `work` may be run again after a conflict or a failure, so it must have no other effects, and it must wait for
   * nothing but its queries.
   * @throws {StoreUnavailableError} when it cannot be stored now; see its `isInDoubt`. Errors of `work` itself pass through.
   */
  write<T>(work: (tx: Queries) => Promise<T>, options?: WriteOptions): Promise<T>;
  /** Inside `write`: waits until no other transaction, of any process, holds the same key; held until the transaction ends. */
  lock(tx: Queries, key: string): Promise<void>;
  /**
   * Writes a complete copy to a file, while work goes on.
   * @throws {Error} with one sentence: the file cannot be written, or the engine has a tool of its own for this.
   */
  backup(path: string): Promise<void>;
  /** Finishes what was begun and lets go of everything. Later calls throw `closed`. */
  close(): Promise<void>;
}
