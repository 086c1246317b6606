// What a request would cost, asked before it is made: on each account, and on the one it would run on.
import { priceOf, type Billable, type PayingAccount, type Price } from '../novelai/price.ts';
import type { Subscription } from '../novelai/subscription.ts';

/** An account as far as a price goes. */
export interface PricedAccount {
  name: string;
  payer: PayingAccount;
  /** Both pools; undefined when the balance is not known. */
  anlasLeft?: number | undefined;
}

/** Asks about another kind of account than those there are. */
export interface AskedPayer {
  tier?: number | undefined;
  isActive?: boolean | undefined;
}

/** The answer of `POST /v1/price`. */
export interface PriceQuote {
  /** Whole Anlas on the account that was asked for, or on the cheapest that can pay. */
  anlas: number;
  free: boolean;
  /** How the price came about. */
  reason: string;
  /** Set when NovelAI does not do this at any price: one sentence. */
  refusal?: string;
  accounts: readonly { name: string; anlas: number; free: boolean; can_pay: boolean }[];
}

const OPUS_TIER = 3;
/** What is assumed where no account is known: one that gets nothing free. */
const NOBODY: PayingAccount = { tier: 0, isActive: true, isAllowanceExhausted: true };

/** Gives an account for a quote. One whose subscription could not be read is priced as Opus, as the dispatcher does. */
export function pricedAccount(name: string, subscription: Subscription | undefined): PricedAccount {
  if (!subscription) return { name, payer: { tier: OPUS_TIER, isActive: true, isAllowanceExhausted: false } };
  const { tier, isActive, allowance, fixedAnlas, purchasedAnlas } = subscription;
  return {
    name,
    payer: { tier, isActive, isAllowanceExhausted: allowance?.isNegative ?? false },
    anlasLeft: fixedAnlas + purchasedAnlas,
  };
}

/**
 * Quotes a request. With `asked` the price is the one for such an account (active unless said otherwise, with V5 allowance
 * left); otherwise that of the cheapest account that can pay, which is the one it would run on.
 */
export function quotePrice(billable: Billable, accounts: readonly PricedAccount[], asked: AskedPayer = {}): PriceQuote {
  const priced = accounts.map(({ name, payer, anlasLeft }) => {
    const price = priceOf(billable, payer);
    return { name, price, canPay: price.isFree || anlasLeft === undefined || anlasLeft >= price.costAnlas };
  });
  const isAsked = asked.tier !== undefined || asked.isActive !== undefined;
  const able = priced.filter(({ canPay }) => canPay).toSorted((a, b) => a.price.costAnlas - b.price.costAnlas);
  const cheapest = able[0] ?? priced.toSorted((a, b) => a.price.costAnlas - b.price.costAnlas)[0];
  const price: Price = isAsked
    ? priceOf(billable, {
        tier: asked.tier ?? OPUS_TIER,
        isActive: asked.isActive ?? true,
        isAllowanceExhausted: false,
      })
    : (cheapest?.price ?? priceOf(billable, NOBODY));
  return {
    anlas: price.costAnlas,
    free: price.isFree,
    reason: price.reason,
    ...(price.refusal !== undefined && { refusal: price.refusal }),
    accounts: priced.map(({ name, price: { costAnlas, isFree }, canPay }) => ({
      name,
      anlas: costAnlas,
      free: isFree,
      can_pay: canPay,
    })),
  };
}
