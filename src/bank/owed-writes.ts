// What the database would not take when it was due: kept, and written when it can be.
import { StoreUnavailableError } from '../store/store-error.ts';

export class OwedWrites {
  readonly #onFailure: (error: unknown) => void;
  #owed: (() => Promise<void>)[] = [];

  constructor(onFailure: (error: unknown) => void) {
    this.#onFailure = onFailure;
  }

  get count(): number {
    return this.#owed.length;
  }

  /** Runs a write that may be repeated. Never throws: when the database cannot take it now, it is owed. */
  async run(write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (error) {
      this.#onFailure(error);
      if (error instanceof StoreUnavailableError) this.#owed.push(write);
    }
  }

  /** Tries everything that is owed once more, in its order. */
  async retry(): Promise<void> {
    const owed = this.#owed;
    this.#owed = [];
    for (const write of owed) await this.run(write);
  }
}
