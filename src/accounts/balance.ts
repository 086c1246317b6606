// What is known of one account's tier, Anlas and allowance; asked for rarely, never once per request.
import type { Clock } from '../lib/clock.ts';
import { singleFlight } from '../lib/single-flight.ts';
import type { PayingAccount } from '../novelai/price.ts';
import type { Subscription } from '../novelai/subscription.ts';
import type { SubscriptionResult } from '../upstream/account-api.ts';
import { costFor, type WorkClass } from './work-class.ts';

/** Balances also change behind the service's back (the owner buys Anlas, the month turns). */
const SLOW_REFRESH_MS = 300_000;
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
  #isClosed = false;
  /** The least price NovelAI refused with 402. */
  #refused: { costAnlas: number; untilMs: number } | undefined;
  #stopTimer: () => void = () => undefined;

  /** Asks NovelAI now; callers at the same time share one call. Never throws: what could not be read stays as it was. */
  readonly refresh: () => Promise<void>;

  constructor(deps: BalanceDeps) {
    this.#deps = deps;
    this.refresh = singleFlight(() => this.#refresh());
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
    const costAnlas = this.#subscription ? costFor(work, payer(this.#subscription)) : work.costAnlas.opus;
    if (this.#refused && this.#deps.clock.monotonicMs() < this.#refused.untilMs && costAnlas >= this.#refused.costAnlas)
      return undefined;
    return costAnlas === 0 || this.anlas === undefined || this.anlas >= costAnlas ? costAnlas : undefined;
  }

  /** Remembers that NovelAI answered 402 to work of this price, until the balance changes. */
  onPaymentRefused(costAnlas: number): void {
    const untilMs = this.#deps.clock.monotonicMs() + REFUSAL_MEMORY_MS;
    this.#refused = { costAnlas: Math.min(costAnlas, this.#refused?.costAnlas ?? Infinity), untilMs };
    this.#deps.onChange();
  }

  /** As `refresh`, unless the last reading is only seconds old. */
  async refreshIfStale(): Promise<void> {
    if (this.#deps.clock.monotonicMs() - this.#readAtMs > STALE_AFTER_MS) await this.refresh();
  }

  close(): void {
    this.#isClosed = true;
    this.#stopTimer();
  }

  async #refresh(): Promise<void> {
    this.#stopTimer();
    const result = await this.#deps.fetch();
    if (this.#isClosed) return;
    if (result?.kind === 'ok') {
      const before = this.#subscription;
      this.#subscription = result.subscription;
      if (before && hasChanged(before, result.subscription)) this.#refused = undefined;
    }
    if (result) this.#isFirstReadOver = true;
    this.#readAtMs = this.#deps.clock.monotonicMs();
    this.#stopTimer = this.#deps.clock.after(SLOW_REFRESH_MS, () => void this.refresh());
    this.#deps.onChange();
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
