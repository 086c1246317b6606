// A shared allowance of something countable (bytes of memory, bytes on disk) that several users take from and give back to.

export class Budget {
  readonly #limit: number;
  #used = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get used(): number {
    return this.#used;
  }

  /** Takes `amount` and gives true, or takes nothing and gives false when that much is not left and it is not forced. */
  tryTake(amount: number, { isForced = false } = {}): boolean {
    if (!isForced && this.#used + amount > this.#limit) return false;
    this.#used += amount;
    return true;
  }

  giveBack(amount: number): void {
    this.#used -= amount;
  }
}
