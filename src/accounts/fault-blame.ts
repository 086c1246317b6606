// Whose fault an "Internal Server Error" is: NovelAI answers 500 to many requests that are wrong in themselves (contract section 5).
import { LRUCache } from 'lru-cache';

/** What of a request tells it from others, as far as blame goes. */
export interface BlamedRequest {
  /** Equal for requests of one client for the same kind of work: what succeeds for one should succeed for all. */
  shape: string;
  /** Of its body. */
  digest: string;
}

const SUCCESS_MEMORY_MS = 60_000;
const REMEMBERED = 1000;

/**
 * Decides whether a 500 counts against the account that gave it. It does only when the same kind of work has just succeeded on
 * another account, and this very body has not failed on another one: so a client that repeats a bad body, or varies one, never
 * takes an account out of use (I7), while an account that fails where the others succeed is found out.
 */
export class FaultBlame {
  readonly #nowMs: () => number;
  /** Shape -> account -> time of its last success. */
  readonly #successes = new LRUCache<string, Map<string, number>>({ max: REMEMBERED });
  /** Body digest -> the account it failed on first. */
  readonly #failures = new LRUCache<string, string>({ max: REMEMBERED });

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  onSuccess(shape: BlamedRequest['shape'], account: string): void {
    const accounts = this.#successes.get(shape);
    if (accounts) accounts.set(account, this.#nowMs());
    else this.#successes.set(shape, new Map([[account, this.#nowMs()]]));
  }

  /** Whether a 500 on `account` is the request's own fault, as far as can be told. */
  isRequestsFault({ shape, digest }: BlamedRequest, account: string): boolean {
    const failedOn = this.#failures.get(digest);
    if (failedOn === undefined) this.#failures.set(digest, account);
    if (failedOn !== undefined && failedOn !== account) return true;
    const sinceMs = this.#nowMs() - SUCCESS_MEMORY_MS;
    for (const [other, succeededMs] of this.#successes.get(shape) ?? [])
      if (other !== account && succeededMs >= sinceMs) return false;
    return true;
  }
}
