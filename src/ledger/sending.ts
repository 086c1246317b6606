// The step from `reserved` to `sent` and back, inside a transaction.
import { prepareQuery } from '../store/prepared-query.ts';
import { reckonAnlas } from './account-balances.ts';
import type { Sending } from './attempt.ts';
import { findAttempt, moveAttempt, MOVED_COLUMNS, type MovedAttempt } from './attempts.ts';
import { ClientBooks, type BudgetRefusal } from './client-books.ts';
import type { Ending } from './endings.ts';
import { LedgerError } from './ledger-error.ts';

/** Thrown to undo the transaction, since a refused step must leave nothing behind. */
export class BudgetRefused extends Error {
  readonly refusal: BudgetRefusal;

  constructor(refusal: BudgetRefusal) {
    super('The budget refuses.');
    this.refusal = refusal;
  }
}

const sendQuery = prepareQuery((db, slots: { id: string; account: string; atMs: number }) =>
  db
    .updateTable('attempts')
    .set((attempt) => ({
      state: attempt.val('sent' as const),
      account: slots.account,
      sends: attempt('sends', '+', 1),
      sent_at_ms: slots.atMs,
    }))
    .where('id', '=', slots.id)
    .where('state', '=', 'reserved')
    .returning(MOVED_COLUMNS),
);

const priceQuery = prepareQuery((db, slots: { id: string; quotedAnlas: number; balanceAnlas: number | null }) =>
  db
    .updateTable('attempts')
    .set({ quoted_anlas: slots.quotedAnlas, balance_before_anlas: slots.balanceAnlas })
    .where('id', '=', slots.id),
);

/**
 * @throws {BudgetRefused} when the account's price is above what was reserved and the budget has not enough left.
 * @throws {LedgerError} when the attempt is not reserved.
 */
export async function sendAttempt(step: Ending, attemptId: string, sending: Sending): Promise<void> {
  const { tx, atMs } = step;
  const { account, quotedAnlas, limits, balanceBefore } = sending;
  const [attempt] = await sendQuery(tx, { id: attemptId, account, atMs });
  if (!attempt) throw await outOfOrder(step, attemptId, 'sent');
  if (quotedAnlas !== attempt.quoted_anlas) await requote(step, attempt, { quotedAnlas, limits });
  if (quotedAnlas === 0) return;
  const anlas = await reckonAnlas(tx, account, { firstReading: balanceBefore, atMs });
  await priceQuery(tx, { id: attemptId, quotedAnlas, balanceAnlas: anlas ?? null });
}

/** @throws {LedgerError} when the attempt is not sent. */
export async function unsendAttempt(step: Ending, attemptId: string, why: string): Promise<MovedAttempt> {
  const change = { state: 'reserved', sent_at_ms: null, unsent_why: why } as const;
  const attempt = await moveAttempt(step.tx, attemptId, ['sent'], change);
  if (!attempt) throw await outOfOrder(step, attemptId, 'reserved again');
  return attempt;
}

/** Gives the error for a step that the attempt's state does not allow. */
export async function outOfOrder({ tx }: Pick<Ending, 'tx'>, attemptId: string, step: string): Promise<LedgerError> {
  const attempt = await findAttempt(tx, attemptId);
  const state = attempt ? (attempt.outcome ?? attempt.state) : 'not there';
  return new LedgerError(`Attempt ${attemptId} cannot become ${step}, since it is ${state}.`);
}

/** Changes what is set aside to the price on the account. */
async function requote(
  step: Ending,
  attempt: MovedAttempt,
  { quotedAnlas, limits }: Pick<Sending, 'quotedAnlas' | 'limits'>,
): Promise<void> {
  const { tx, store, atMs } = step;
  const more = quotedAnlas - attempt.quoted_anlas;
  const of = { clientId: attempt.client_id, day: attempt.day };
  const books = await ClientBooks.open(tx, store, of, { anlas: Math.abs(more), images: 0 });
  // The books may be new here: where nothing was reserved, none were opened.
  books.setLimits(limits);
  const refusal = more > 0 ? books.refusalOf({ anlas: more, images: 0 }) : undefined;
  if (refusal) throw new BudgetRefused(refusal);
  books.each((book) => (more > 0 ? book.take('reserved', more) : book.giveBack('reserved', -more)));
  await books.save(tx, { attemptId: attempt.id, atMs });
  await moveAttempt(tx, attempt.id, ['sent'], { quoted_anlas: quotedAnlas });
}
