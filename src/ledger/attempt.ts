// What the ledger is told about a request, and what it writes down: one attempt for each request that was admitted.
import type { Selectable } from 'kysely';
import type { Outcome } from '../lib/outcome.ts';
import type { AttemptsTable } from '../store/schema.ts';
import type { BudgetLimits } from './budgets.ts';
import type { BudgetRefusal } from './client-books.ts';
import { LedgerError } from './ledger-error.ts';

export type AttemptRow = Selectable<AttemptsTable>;
export type AttemptState = AttemptsTable['state'];

/** A request that is about to be admitted. */
export interface RequestToReserve {
  /** The business id; a second reservation of the same request is a fault. */
  requestId: string;
  clientId: string;
  /** As reports show it; the id is what counts. */
  clientName: string;
  /** Id in the endpoint table, such as `generate-image`. */
  endpoint: string;
  model?: string | undefined;
  /** Of a generation; of a Director tool its name. */
  action?: string | undefined;
  width?: number | undefined;
  height?: number | undefined;
  /** For text the most tokens asked for. */
  steps?: number | undefined;
  samples?: number | undefined;
  /** What to set aside: the price on the account it will most likely go to; {@link Sending} may change it. */
  costAnlas: number;
  /** Images that it makes when it succeeds; 0 for text. */
  images: number;
  limits: BudgetLimits;
}

export type Reservation = { isGranted: true; attemptId: string } | BudgetRefusal;

/** A request that is about to be sent to NovelAI. */
export interface Sending {
  account: string;
  /** Price on this very account. */
  quotedAnlas: number;
  /** The client's limits, which decide when the price here is above what was reserved. */
  limits: BudgetLimits;
  /** The account's Anlas as last read; used only until the ledger has a reading of its own. */
  balanceBefore?: AnlasBalance | undefined;
}

/** Both pools of an account's Anlas (contract 3.9). */
export interface AnlasBalance {
  fixedAnlas: number;
  purchasedAnlas: number;
}

/** Ends with a known charge. */
export interface Settlement {
  outcome: Extract<Outcome, 'succeeded' | 'failed_upstream_charged'>;
  chargedAnlas: number;
  /** Images that count against the day's budget; all that were reserved when it succeeded, none otherwise. */
  images?: number | undefined;
}

/** Ends that cost nothing, surely. */
export type FreeOutcome = Exclude<Outcome, Settlement['outcome'] | 'unknown'>;

/** @throws {LedgerError} unless it is a whole number that is not negative. */
export function checkAmount(name: string, amount: number): void {
  if (!Number.isSafeInteger(amount) || amount < 0)
    throw new LedgerError(`${name}: expected a whole number, 0 or more, got ${amount}.`);
}
