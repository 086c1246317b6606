// The arithmetic of one budget in one period: what is granted is available, reserved, held or settled, to the unit. Pure.
import type { Bucket } from '../store/schema.ts';

/** One step of an amount from one bucket to another; `granted` is where it all comes from. */
export interface Movement {
  from: Bucket;
  to: Bucket;
  amount: number;
}

export interface Balances {
  granted: number;
  available: number;
  reserved: number;
  held: number;
  settled: number;
}

/** Buckets that count as used up. */
type UsedBucket = 'reserved' | 'held' | 'settled';

/**
 * A book and the movements that were made in it since it was read.
 *
 * `granted` follows the limit: it is the limit, or what is used where that is more (a limit that was lowered afterwards, a
 * charge above its quote). Without a limit it is exactly what is used. So `available` never goes below zero, and
 * `granted = available + reserved + held + settled` always.
 */
export class Book {
  readonly #balances: Balances;
  readonly #movements: Movement[] = [];
  #limit: number | null;

  constructor(limit: number | null, { granted, available, reserved, held, settled }: Balances = NOTHING) {
    this.#limit = limit;
    // One by one: a row of the table has more than that.
    this.#balances = { granted, available, reserved, held, settled };
  }

  get limit(): number | null {
    return this.#limit;
  }

  get balances(): Readonly<Balances> {
    return this.#balances;
  }

  get movements(): readonly Movement[] {
    return this.#movements;
  }

  get used(): number {
    const { reserved, held, settled } = this.#balances;
    return reserved + held + settled;
  }

  /** Whether so much more may be reserved. Nothing always may, even from a budget that is overdrawn. */
  canTake(amount: number): boolean {
    return amount === 0 || this.#limit === null || amount <= this.#balances.available;
  }

  /** Takes over a limit that the operator has set, changed or lifted. */
  setLimit(limit: number | null): void {
    this.#limit = limit;
    const excess = this.#balances.granted - Math.max(limit ?? 0, this.used);
    this.#move('available', 'granted', Math.max(excess, 0));
    this.#move('granted', 'available', Math.max(-excess, 0));
  }

  /** Uses up an amount; what the limit does not cover is granted on top, so the caller asks {@link canTake} first where it may refuse. */
  take(to: UsedBucket, amount: number): void {
    const covered = this.#limit === null ? 0 : Math.min(amount, this.#balances.available);
    this.#move('available', to, covered);
    this.#move('granted', to, amount - covered);
  }

  /** Gives an amount back; what had been granted beyond the limit goes. */
  giveBack(from: UsedBucket, amount: number): void {
    const beyond = Math.min(amount, Math.max(this.#balances.granted - (this.#limit ?? 0), 0));
    this.#move(from, 'granted', beyond);
    this.#move(from, 'available', amount - beyond);
  }

  /** Moves an amount that is used up either way. */
  pass(from: UsedBucket, to: UsedBucket, amount: number): void {
    this.#move(from, to, amount);
  }

  /** Ends an amount of `from`: `charged` of it is settled and the rest given back; a charge above it is taken on top. */
  settle(from: UsedBucket, amount: number, charged: number): void {
    this.pass(from, 'settled', Math.min(amount, charged));
    this.giveBack(from, Math.max(amount - charged, 0));
    this.take('settled', Math.max(charged - amount, 0));
  }

  #move(from: Bucket, to: Bucket, amount: number): void {
    if (amount === 0) return;
    applyMovement(this.#balances, { from, to, amount });
    this.#movements.push({ from, to, amount });
  }
}

export const NOTHING: Readonly<Balances> = { granted: 0, available: 0, reserved: 0, held: 0, settled: 0 };

/** Changes balances as a movement says. `granted` is the source, so leaving it makes it grow. */
export function applyMovement(balances: Balances, { from, to, amount }: Movement): void {
  balances[from] += from === 'granted' ? amount : -amount;
  balances[to] += to === 'granted' ? -amount : amount;
}
