// A shared allowance that is waited for: first come, first served.

export class Gate {
  readonly #limit: number;
  readonly #waiting: { amount: number; enter: () => void }[] = [];
  #used = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get used(): number {
    return this.#used;
  }

  /** Runs `work` while `amount` is taken; one that is larger than the whole goes alone. Every `work` must come to its end by itself. */
  async within<T>(amount: number, work: () => Promise<T>): Promise<T> {
    if (this.#waiting.length > 0 || !this.#hasRoom(amount))
      await new Promise<void>((enter) => this.#waiting.push({ amount, enter }));
    else this.#used += amount;
    try {
      return await work();
    } finally {
      this.#used -= amount;
      this.#letIn();
    }
  }

  #hasRoom(amount: number): boolean {
    return this.#used === 0 || this.#used + amount <= this.#limit;
  }

  #letIn(): void {
    for (let next = this.#waiting[0]; next && this.#hasRoom(next.amount); next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#used += next.amount;
      next.enter();
    }
  }
}
