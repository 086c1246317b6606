// A real store whose writes fail on command: before they are stored, or after it, when nobody can tell.
import type { Queries, Store, WriteOptions } from '../../src/store/store.ts';
import { StoreUnavailableError } from '../../src/store/store-error.ts';

export type Fault = 'none' | 'before' | 'after';

export class FaultyStore implements Store {
  readonly #store: Store;
  /** What happens to the writes from now on. */
  fault: Fault = 'none';
  /** How many writes have failed. */
  failures = 0;

  constructor(store: Store) {
    this.#store = store;
  }

  get engine() {
    return this.#store.engine;
  }

  read<T>(work: (db: Queries) => Promise<T>): Promise<T> {
    return this.#store.read(work);
  }

  async write<T>(work: (tx: Queries) => Promise<T>, options?: WriteOptions): Promise<T> {
    const { fault } = this;
    if (fault === 'before') throw this.#failure(false);
    const value = await this.#store.write(work, options);
    if (fault === 'after') throw this.#failure(true);
    return value;
  }

  lock(tx: Queries, key: string): Promise<void> {
    return this.#store.lock(tx, key);
  }

  backup(path: string): Promise<void> {
    return this.#store.backup(path);
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  #failure(isInDoubt: boolean): StoreUnavailableError {
    this.failures += 1;
    return new StoreUnavailableError('io', { isInDoubt });
  }
}
