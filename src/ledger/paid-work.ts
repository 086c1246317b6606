// Which paid work is under way on each account, so that a reading of its balance knows what it may or may not contain.

/** The paid attempts that were under way on one account at some time since it was made. */
export interface Witness {
  readonly attemptIds: ReadonlySet<string>;
  /** To be called once, when nothing more shall be noted. */
  stop(): void;
}

export class PaidWork {
  readonly #open = new Map<string, Set<string>>();
  readonly #witnesses = new Map<string, Set<Set<string>>>();

  begin(account: string, attemptId: string): void {
    addTo(this.#open, account, attemptId);
    for (const seen of this.#witnesses.get(account) ?? []) seen.add(attemptId);
  }

  end(account: string, attemptId: string): void {
    removeFrom(this.#open, account, attemptId);
  }

  witness(account: string): Witness {
    const seen = new Set(this.#open.get(account));
    addTo(this.#witnesses, account, seen);
    return { attemptIds: seen, stop: () => removeFrom(this.#witnesses, account, seen) };
  }
}

function addTo<T>(sets: Map<string, Set<T>>, key: string, value: T): void {
  const set = sets.get(key);
  if (set) set.add(value);
  else sets.set(key, new Set([value]));
}

function removeFrom<T>(sets: Map<string, Set<T>>, key: string, value: T): void {
  const set = sets.get(key);
  set?.delete(value);
  if (set?.size === 0) sets.delete(key);
}
