// What the database would not take when it was due: kept, and written when it can be.
import { StoreUnavailableError } from '../store/store-error.ts';

export class OwedWrites {
  readonly #onFailure: (error: unknown) => void;
  readonly #underWay = new Set<Promise<void>>();
  #owed: (() => Promise<void>)[] = [];

  constructor(onFailure: (error: unknown) => void) {
    this.#onFailure = onFailure;
  }

  get count(): number {
    return this.#owed.length;
  }

  /** Runs a write that may be repeated. Never throws: when the database cannot take it now, it is owed. */
  run(write: () => Promise<void>): Promise<void> {
    const running = this.#run(write).finally(() => this.#underWay.delete(running));
    this.#underWay.add(running);
    return running;
  }

  /** Waits for what is under way, and tries what is owed for a last time. */
  async close(): Promise<void> {
    await Promise.all(this.#underWay);
    await this.retry();
  }

  async #run(write: () => Promise<void>): Promise<void> {
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
