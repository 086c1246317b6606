// What a request asks of an account, as far as the choice of an account goes: the kind of slot, and its price for each kind of payer.
import { priceOf, type Billable, type PayingAccount } from '../novelai/price.ts';

/** NovelAI runs one image generation and, separately, one text generation at a time per account (contract section 6). */
export type SlotKind = 'image' | 'text';
export const SLOT_KINDS: readonly SlotKind[] = ['image', 'text'];

/** The kinds of account that NovelAI charges differently (contract 7.1). */
type PayerKind = 'opus' | 'opusWithoutAllowance' | 'plain';

const PAYERS: Readonly<Record<PayerKind, PayingAccount>> = {
  opus: { tier: 3, isActive: true, isAllowanceExhausted: false },
  opusWithoutAllowance: { tier: 3, isActive: true, isAllowanceExhausted: true },
  plain: { tier: 1, isActive: true, isAllowanceExhausted: true },
};

/** Requests of one class can be served by the same accounts, at the same price on each. */
export interface WorkClass {
  /** Equal for equal classes; the scheduler's sub-queue. */
  key: string;
  costAnlas: Readonly<Record<PayerKind, number>>;
  /** Set when NovelAI does this at no price: one sentence. */
  refusal?: string | undefined;
}

/** Gives the class of a billable request. */
export function classify(billable: Billable): WorkClass {
  const opus = priceOf(billable, PAYERS.opus);
  const opusWithoutAllowance = priceOf(billable, PAYERS.opusWithoutAllowance);
  const plain = priceOf(billable, PAYERS.plain);
  return {
    key: `${opus.costAnlas}/${opusWithoutAllowance.costAnlas}/${plain.costAnlas}`,
    costAnlas: {
      opus: opus.costAnlas,
      opusWithoutAllowance: opusWithoutAllowance.costAnlas,
      plain: plain.costAnlas,
    },
    refusal: opus.refusal,
  };
}

/** Gives what work of this class costs on an account, in Anlas. */
export function costFor({ costAnlas }: WorkClass, { tier, isActive, isAllowanceExhausted }: PayingAccount): number {
  if (tier < 3 || !isActive) return costAnlas.plain;
  return isAllowanceExhausted ? costAnlas.opusWithoutAllowance : costAnlas.opus;
}
