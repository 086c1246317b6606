// All accounts, and the one question the dispatcher asks: may this account take work of this class?
import type { Account, Availability } from './account.ts';
import type { SlotKind, WorkClass } from './work-class.ts';

/** Whether anybody could serve a class of work: now or shortly, or not until something changes that nobody can foresee. */
export type Outlook = { isServable: true } | { isServable: false; reason: 'no_account' | 'cannot_pay'; why: string };

export class AccountPool {
  readonly #accounts: Account[] = [];

  get accounts(): readonly Account[] {
    return this.#accounts;
  }

  add(account: Account): void {
    this.#accounts.push(account);
  }

  remove(account: Account): void {
    const index = this.#accounts.indexOf(account);
    if (index !== -1) this.#accounts.splice(index, 1);
  }

  /**
   * Whether the others can do without `account` while it recovers: the last healthy one that has Opus's free pictures, and the
   * last one with Anlas, is never thrown out (design section 5).
   */
  canSpare(account: Account): boolean {
    const others = this.#accounts.filter((other) => other !== account && other.isHealthy);
    return (
      others.length > 0 && (!isOpus(account) || others.some(isOpus)) && (!hasAnlas(account) || others.some(hasAnlas))
    );
  }

  /**
   * Whether `account` is one of those that may run work of this class: able to pay, and none cheaper. So work that is free on
   * an Opus account never spends another account's Anlas, while that Opus account is there at all. `leastAnlas` is the
   * {@link cheapest} price, for those who ask about many accounts.
   */
  mayServe(account: Account, work: WorkClass, leastAnlas = this.cheapest(work)): boolean {
    const price = account.balance.priceOf(work);
    return price !== undefined && price <= (leastAnlas ?? price);
  }

  /** The least that work of this class costs on an account that is there and can pay it, in Anlas; undefined when none can. */
  cheapest(work: WorkClass): number | undefined {
    let least: number | undefined;
    for (const account of this.#accounts) {
      if (!account.isHealthy) continue;
      const price = account.balance.priceOf(work);
      if (price !== undefined && (least === undefined || price < least)) least = price;
    }
    return least;
  }

  /** Whether it makes sense to let work of this class wait. */
  outlook(work: WorkClass, kind: SlotKind): Outlook {
    const present = this.#accounts.filter((account) => !isDown(account.availability(kind)));
    if (present.length === 0) return { isServable: false, reason: 'no_account', why: this.#whyDown(kind) };
    if (present.some((account) => account.balance.priceOf(work) !== undefined)) return { isServable: true };
    return { isServable: false, reason: 'cannot_pay', why: 'Not enough Anlas' };
  }

  /** Whether at least one account can take work now or is only busy, resting or logging in; with each one's reason otherwise. */
  readiness(): { isReady: boolean; accounts: { name: string; state: string; why?: string | undefined }[] } {
    const accounts = this.#accounts.map((account) => {
      const { state, why } = account.availability('image');
      return { name: account.name, state, why };
    });
    return { isReady: accounts.some(({ state }) => state === 'ready' || state === 'cooling'), accounts };
  }

  close(): void {
    for (const account of this.#accounts) account.close();
  }

  #whyDown(kind: SlotKind): string {
    const reasons = this.#accounts.map(
      (account) => `${account.name}: ${account.availability(kind).why ?? 'not ready'}`,
    );
    return reasons.length > 0 ? reasons.join('; ') : 'no account is configured';
  }
}

function isOpus({ balance: { subscription } }: Account): boolean {
  return subscription !== undefined && subscription.tier >= 3 && subscription.isActive;
}

function hasAnlas({ balance }: Account): boolean {
  return (balance.anlas ?? 0) > 0;
}

function isDown({ state }: Availability): boolean {
  return state === 'disabled' || state === 'draining';
}
