// Endings that could not be written down at once: kept, and tried again until the database can.
import { backoffMs } from '../lib/backoff.ts';
import type { Clock } from '../lib/clock.ts';
import { singleFlight } from '../lib/single-flight.ts';
import { StoreUnavailableError } from '../store/store-error.ts';

const BACKOFF = { baseMs: 250, maxMs: 10_000 };

interface Owed {
  write: () => Promise<void>;
  resolve: () => void;
  reject: (error: unknown) => void;
}

/**
 * The work behind an ending is done, so its record must not depend on the database's health at that moment. If the process dies
 * with endings still owed, recovery finds their attempts `sent` without an end, and the account's balance tells.
 */
export class OwedEndings {
  readonly #clock: Clock;
  #owed: Owed[] = [];
  #failures = 0;
  readonly #retry = singleFlight(() => this.#retryAll());
  #stopTimer: () => void = () => undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How many wait for the database. */
  get count(): number {
    return this.#owed.length;
  }

  /**
   * Runs `write`, again and again until the database takes it; it must do nothing when it was done before. Rejects only with
   * faults of its own, or when {@link close} gives it up.
   */
  async run(write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (error) {
      if (!isWorthAnotherTry(error)) throw error;
      await new Promise<void>((resolve, reject) => {
        this.#owed.push({ write, resolve, reject });
        this.#arm();
      });
    }
  }

  /** Tries everything once more, and gives up what still cannot be written. */
  async close(): Promise<void> {
    await this.#retry();
    this.#stopTimer();
    const given = this.#owed;
    this.#owed = [];
    for (const { reject } of given) reject(new StoreUnavailableError('closed'));
  }

  #arm(): void {
    this.#stopTimer();
    const delayMs = backoffMs(this.#failures, BACKOFF, () => 0);
    this.#stopTimer = this.#clock.after(delayMs, () => void this.#retry());
  }

  async #retryAll(): Promise<void> {
    while (this.#owed[0]) {
      const [first] = this.#owed;
      try {
        await first.write();
        this.#failures = 0;
        first.resolve();
      } catch (error) {
        if (isWorthAnotherTry(error)) break;
        first.reject(error);
      }
      this.#owed.shift();
    }
    if (this.#owed.length === 0) return;
    this.#failures += 1;
    this.#arm();
  }
}

function isWorthAnotherTry(error: unknown): boolean {
  return error instanceof StoreUnavailableError && error.fault !== 'closed';
}
