// What is known of one account's tier, Anlas and allowance; asked for rarely, never once per request.
import { backoffMs } from '../lib/backoff.ts';
import type { Clock } from '../lib/clock.ts';
import type { PayingAccount } from '../novelai/price.ts';
import type { Subscription } from '../novelai/subscription.ts';
import type { SubscriptionResult } from '../upstream/account-api.ts';
import { costFor, type WorkClass } from './work-class.ts';

/** Balances also change behind the service's back (the owner buys Anlas, the month turns). */
const SLOW_REFRESH_MS = 300_000;
/** Without a reading nobody knows what work costs here, so a failed one is repeated sooner. */
const FAILED_PAUSE = { baseMs: 10_000, maxMs: SLOW_REFRESH_MS } as const;
/** A reading this young is not worth repeating. */
const STALE_AFTER_MS = 10_000;
/** A price that NovelAI refused with 402 is not tried again before the balance changed, or this long. */
const REFUSAL_MEMORY_MS = 300_000;

export interface BalanceDeps {
  clock: Clock;
  fetch: () => Promise<SubscriptionResult | undefined>;
  onChange: () => void;
}

export class Balance {
  readonly #deps: BalanceDeps;
  #subscription: Subscription | undefined;
  #isFirstReadOver = false;
  #readAtMs = -Infinity;
  #version = 0;
  #failures = 0;
  /** The reading that runs, and whether somebody has asked for one since it began. */
  #reading: Promise<void> | undefined;
  #isOutdated = false;
  #isClosed = false;
  /** What NovelAI refused with 402: the least price, and the classes that should have cost nothing. */
  #refused: { leastAnlas: number; freeKeys: ReadonlySet<string>; untilMs: number } | undefined;
  #stopTimer: () => void = () => undefined;

  constructor(deps: BalanceDeps) {
    this.#deps = deps;
  }

  /**
   * Asks NovelAI now, and resolves when an answer is there that began after this call: callers share one call, and another one
   * follows when a caller came while one was running. Never throws: what could not be read stays as it was.
   */
  refresh(): Promise<void> {
    if (this.#reading) this.#isOutdated = true;
    else this.#reading = Promise.resolve().then(() => this.#readUntilCurrent());
    return this.#reading;
  }

  /** Grows whenever a price or what can be paid may be another. */
  get version(): number {
    return this.#version;
  }

  /** Undefined until it could be read once. */
  get subscription(): Subscription | undefined {
    return this.#subscription;
  }

  /** False until the first reading has succeeded or failed: before that nobody knows what a request would cost here. */
  get isFirstReadOver(): boolean {
    return this.#isFirstReadOver;
  }

  /** Anlas of both pools (contract 3.9), or undefined when not known. */
  get anlas(): number | undefined {
    return this.#subscription && this.#subscription.fixedAnlas + this.#subscription.purchasedAnlas;
  }

  /**
   * Gives the price of work here in Anlas, or undefined when the account cannot pay it. An account whose balance could not be
   * read is given the benefit of the doubt: NovelAI itself says 402.
   */
  priceOf(work: WorkClass): number | undefined {
    const costAnlas = this.costOf(work);
    if (this.#isRefused(work, costAnlas)) return undefined;
    return costAnlas === 0 || this.anlas === undefined || this.anlas >= costAnlas ? costAnlas : undefined;
  }

  /** What work costs here in Anlas, whether the account can pay it or not. */
  costOf(work: WorkClass): number {
    return this.#subscription ? costFor(work, payer(this.#subscription)) : work.costAnlas.opus;
  }

  /**
   * Remembers that NovelAI answered 402 to this work, until the balance changes, and reads it again: the account then takes
   * nothing of that price or above, or, where it should have been free, nothing of that class.
   */
  onPaymentRefused(work: WorkClass): void {
    const costAnlas = this.costOf(work);
    const { leastAnlas = Infinity, freeKeys = [] } = this.#refused ?? {};
    this.#refused = {
      leastAnlas: costAnlas > 0 ? Math.min(costAnlas, leastAnlas) : leastAnlas,
      freeKeys: new Set([...freeKeys, ...(costAnlas > 0 ? [] : [work.key])]),
      untilMs: this.#deps.clock.monotonicMs() + REFUSAL_MEMORY_MS,
    };
    this.#version += 1;
    this.#deps.onChange();
    void this.refresh();
  }

  /** As `refresh`, unless the last reading is only seconds old or one is running. */
  async refreshIfStale(): Promise<void> {
    if (this.#reading) await this.#reading;
    else if (this.#deps.clock.monotonicMs() - this.#readAtMs > STALE_AFTER_MS) await this.refresh();
  }

  close(): void {
    this.#isClosed = true;
    this.#stopTimer();
  }

  #isRefused({ key }: WorkClass, costAnlas: number): boolean {
    if (!this.#refused || this.#deps.clock.monotonicMs() >= this.#refused.untilMs) return false;
    return costAnlas >= this.#refused.leastAnlas || (costAnlas === 0 && this.#refused.freeKeys.has(key));
  }

  async #readUntilCurrent(): Promise<void> {
    try {
      do {
        this.#isOutdated = false;
        await this.#read();
      } while (this.#isOutdated && !this.#isClosed);
    } finally {
      this.#reading = undefined;
    }
  }

  async #read(): Promise<void> {
    this.#stopTimer();
    if (this.#isClosed) return;
    const result = await this.#fetch();
    if (this.#isClosed) return;
    if (result?.kind === 'ok') {
      const before = this.#subscription;
      this.#subscription = result.subscription;
      if (!before || hasChanged(before, result.subscription)) this.#refused = undefined;
    }
    // A refused token is about to be renewed, and then the balance is read again: the account's price is not known before.
    if (result && result.kind !== 'refused') this.#isFirstReadOver = true;
    this.#failures = result?.kind === 'failed' ? this.#failures + 1 : 0;
    this.#readAtMs = this.#deps.clock.monotonicMs();
    const pauseMs = this.#failures > 0 ? backoffMs(this.#failures, FAILED_PAUSE, () => 0) : SLOW_REFRESH_MS;
    this.#stopTimer = this.#deps.clock.after(pauseMs, () => void this.refresh());
    this.#version += 1;
    this.#deps.onChange();
  }

  async #fetch(): Promise<SubscriptionResult | undefined> {
    try {
      return await this.#deps.fetch();
    } catch {
      return { kind: 'failed', why: 'the reading broke off inside the service' };
    }
  }
}

function payer({ tier, isActive, allowance }: Subscription): PayingAccount {
  return { tier, isActive, isAllowanceExhausted: allowance?.isNegative ?? false };
}

function hasChanged(a: Subscription, b: Subscription): boolean {
  return (
    a.fixedAnlas !== b.fixedAnlas ||
    a.purchasedAnlas !== b.purchasedAnlas ||
    a.tier !== b.tier ||
    a.isActive !== b.isActive ||
    a.allowance?.isNegative !== b.allowance?.isNegative
  );
}
