// Chooses an account for a read: any that has a token will do, since reads take no slot and cost nothing.
import type { Account } from '../../accounts/account.ts';
import type { AccountPool } from '../../accounts/account-pool.ts';

/** An account for one read, until `release`. */
export interface ReadTurn {
  account: Account;
  token: string;
  release(): void;
}

/** Spreads reads over the accounts. Whether an account is generating does not matter: NovelAI's lock is about generations. */
export class ReadAccounts {
  readonly #pool: AccountPool;
  readonly #underWay = new Map<Account, number>();
  readonly #lastUse = new Map<Account, number>();
  #uses = 0;

  constructor(pool: AccountPool) {
    this.#pool = pool;
  }

  /**
   * Takes the account with the fewest reads under way, the longest unused among equals, and a resting one only when there is no
   * other. Where none has a token yet but some are logging in, waits for the first of those logins. Undefined when no account
   * outside `excluded` can be used.
   */
  async take(excluded: ReadonlySet<Account> = new Set()): Promise<ReadTurn | undefined> {
    for (;;) {
      const present = this.#pool.accounts.filter((account) => !excluded.has(account) && isInUse(account));
      const turn = this.#takeFrom(present);
      if (turn) return turn;
      const loggingIn = present.filter(({ session }) => session.state === 'refreshing');
      if (loggingIn.length === 0) return undefined;
      await Promise.race(loggingIn.map(joinLogin));
    }
  }

  #takeFrom(accounts: readonly Account[]): ReadTurn | undefined {
    const usable = accounts.flatMap((account) => {
      const token = account.session.token();
      return token === undefined ? [] : [{ account, token, rank: this.#rank(account) }];
    });
    const [first, ...others] = usable;
    if (!first) return undefined;
    const { account, token } = others.reduce((best, other) => (isBefore(other.rank, best.rank) ? other : best), first);
    this.#uses += 1;
    this.#lastUse.set(account, this.#uses);
    this.#underWay.set(account, (this.#underWay.get(account) ?? 0) + 1);
    return { account, token, release: () => this.#release(account) };
  }

  #release(account: Account): void {
    const left = (this.#underWay.get(account) ?? 1) - 1;
    if (left > 0) this.#underWay.set(account, left);
    else this.#underWay.delete(account);
    // Accounts can be removed while the service runs; nothing of them may stay.
    if (!this.#pool.accounts.includes(account)) this.#lastUse.delete(account);
  }

  /** Compared member by member; the least is the best. */
  #rank(account: Account): readonly number[] {
    const isResting = account.availability('text').state === 'cooling';
    return [isResting ? 1 : 0, this.#underWay.get(account) ?? 0, this.#lastUse.get(account) ?? 0];
  }
}

function isInUse(account: Account): boolean {
  const { state } = account.availability('text');
  return state !== 'disabled' && state !== 'draining';
}

/** A refusal of some older token joins the login that is under way, and starts none. */
function joinLogin({ session }: Account): Promise<void> {
  return session.onRefused('');
}

function isBefore(a: readonly number[], b: readonly number[]): boolean {
  for (const [index, value] of a.entries()) if (value !== b[index]) return value < (b[index] ?? 0);
  return false;
}
