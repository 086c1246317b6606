// Readings of an account's Anlas: what they say about attempts whose charge is not known, and what they show that nobody knew of.
import type { Queries, Store } from '../store/store.ts';
import { addSpending, expectedAnlas, findBalance, insertDrift, lockAccount, saveBalance } from './account-balances.ts';
import type { AnlasBalance, AttemptRow } from './attempt.ts';
import { findAttempt } from './attempts.ts';
import { resolveAttempt } from './endings.ts';
import { judgeReading, type OverlappingCharge, type ReadingToJudge, type Verdict } from './judge-reading.ts';
import type { LedgerClock } from './ledger-clock.ts';
import { LedgerError } from './ledger-error.ts';
import { PaidWork } from './paid-work.ts';

export interface AccountReadingsOptions {
  store: Store;
  clock: LedgerClock;
  /** Longest time NovelAI works on one generation. */
  generationLimitMs: number;
}

/** One look at an account's balance. */
export interface Reading {
  /**
   * Draws the conclusions from NovelAI's answer.
   * @throws {StoreUnavailableError} when they cannot be written; nothing is lost, the next reading says the same.
   */
  finish(balance: AnlasBalance): Promise<ReadingResult>;
  /** When there was no answer. */
  cancel(): void;
}

export interface ReadingResult {
  /**
   * False when paid work was under way during the reading and the balance leaves more than one possibility: nothing was
   * concluded. While attempts are {@link stillHeld}, the next reading should be made while the account is idle.
   */
  isClear: boolean;
  resolved: readonly { attemptId: string; chargedAnlas: number; resolution: 'proved' | 'attributed' }[];
  /** Attempts of the account whose charge is still not known, those that no balance can decide included. */
  stillHeld: number;
  /** What the balance fell by beyond all known causes; negative when it rose. */
  driftAnlas: number;
}

export class AccountReadings {
  readonly #options: AccountReadingsOptions;
  readonly #paidWork = new PaidWork();

  constructor(options: AccountReadingsOptions) {
    this.#options = options;
  }

  /** Paid work is about to be sent. */
  onSent(account: string, attemptId: string): void {
    this.#paidWork.begin(account, attemptId);
  }

  /** It ended, or was not sent after all. */
  onEnded(account: string | null, attemptId: string): void {
    if (account !== null) this.#paidWork.end(account, attemptId);
  }

  start(account: string): Reading {
    const startedAtMs = this.#options.clock.nowMs();
    const witness = this.#paidWork.witness(account);
    return {
      cancel: () => witness.stop(),
      finish: async (balance) => {
        try {
          return await this.#options.store.write((tx) =>
            this.#conclude(tx, { account, balance, startedAtMs, witnessed: witness.attemptIds }),
          );
        } finally {
          witness.stop();
        }
      },
    };
  }

  /** Ends a held attempt by an operator's word. @throws {LedgerError} when it is not held. */
  async resolveByHand(tx: Queries, attemptId: string, chargedAnlas: number): Promise<void> {
    const { store, clock } = this.#options;
    const atMs = clock.nowMs();
    const held = await findAttempt(tx, attemptId);
    if (held?.account) await lockAccount(tx, store, held.account);
    const attempt = await resolveAttempt({ tx, store, atMs }, attemptId, { chargedAnlas, resolution: 'by_hand' });
    if (!held || !attempt) throw new LedgerError(`Attempt ${attemptId}: expected it to be held, but it is not.`);
    if (held.resolution !== 'undecidable') {
      await addSpending(tx, store, attempt.account, chargedAnlas);
      return;
    }
    // A reading has already counted this charge as gone without a known cause.
    const balance = attempt.account === null ? undefined : await findBalance(tx, attempt.account);
    if (!balance) return;
    const anlas = expectedAnlas(balance);
    const why = `charge of attempt ${attemptId}, by an operator's word`;
    const drift = { expectedAnlas: anlas, actualAnlas: anlas, driftAnlas: -chargedAnlas, why };
    await insertDrift(tx, { account: balance.account, atMs, ...drift });
  }

  async #conclude(tx: Queries, reading: Facts): Promise<ReadingResult> {
    const { account, balance } = reading;
    await lockAccount(tx, this.#options.store, account);
    const atMs = this.#options.clock.nowMs();
    const attempts = await attemptsInQuestion(tx, reading);
    const held = attempts.filter(({ state }) => state === 'held');
    const open = held.filter(({ resolution }) => resolution === null);
    const before = await findBalance(tx, account);
    if (!before) {
      // Nothing to compare with, so what is unknown stays so.
      await markUndecidable(
        tx,
        open.map(({ id }) => id),
      );
      await saveBalance(tx, account, { ...balance, spentSinceAnlas: 0, atMs });
      return { isClear: true, resolved: [], stillHeld: held.length, driftAnlas: 0 };
    }

    const boughtAnlas = boughtBetween(before, balance, attempts);
    const expected = expectedAnlas(before) + boughtAnlas;
    const actual = balance.fixedAnlas + balance.purchasedAnlas;
    const unknowns = this.#unknownsOf(open, reading);
    const overlapping = overlappingCharges(attempts);
    const verdict = judgeReading({ expectedAnlas: expected, actualAnlas: actual, unknowns, overlapping });
    if (!verdict.isClear) return { isClear: false, resolved: [], stillHeld: held.length, driftAnlas: 0 };

    const resolved = await this.#resolve(tx, open, verdict, { atMs, balanceAfterAnlas: actual });
    await markUndecidable(tx, verdict.undecidable);
    const drift = { account, atMs, actualAnlas: actual };
    const bought = { expectedAnlas: expected - boughtAnlas, driftAnlas: -boughtAnlas, why: 'Anlas were bought' };
    await insertDrift(tx, { ...drift, ...bought });
    await insertDrift(tx, { ...drift, expectedAnlas: expected, driftAnlas: verdict.driftAnlas, why: whyOf(verdict) });
    await saveBalance(tx, account, { ...balance, spentSinceAnlas: verdict.carriedAnlas, atMs });
    return {
      isClear: true,
      resolved,
      stillHeld: held.length - resolved.length,
      driftAnlas: verdict.driftAnlas - boughtAnlas,
    };
  }

  #unknownsOf(open: readonly AttemptRow[], { startedAtMs, witnessed }: Facts): ReadingToJudge['unknowns'] {
    return open.map(({ id, quoted_anlas, sent_at_ms }) => ({
      id,
      quotedAnlas: quoted_anlas,
      isOver: !witnessed.has(id) && startedAtMs - (sent_at_ms ?? 0) >= this.#options.generationLimitMs,
    }));
  }

  async #resolve(
    tx: Queries,
    open: readonly AttemptRow[],
    { charges, isProof }: ClearVerdict,
    { atMs, balanceAfterAnlas }: { atMs: number; balanceAfterAnlas: number },
  ): Promise<ReadingResult['resolved']> {
    const { store } = this.#options;
    const resolution = isProof ? 'proved' : 'attributed';
    const resolved: { attemptId: string; chargedAnlas: number; resolution: typeof resolution }[] = [];
    // By client, so that two transactions never wait for each other's clients.
    for (const { id } of open.toSorted((a, b) => (a.client_id < b.client_id ? -1 : 1))) {
      const chargedAnlas = charges.get(id);
      if (chargedAnlas === undefined) continue;
      await resolveAttempt({ tx, store, atMs }, id, { chargedAnlas, resolution, balanceAfterAnlas });
      resolved.push({ attemptId: id, chargedAnlas, resolution });
    }
    return resolved;
  }
}

type ClearVerdict = Extract<Verdict, { isClear: true }>;

/** What is known of a reading when its answer is there. */
interface Facts {
  account: string;
  balance: AnlasBalance;
  startedAtMs: number;
  /** Paid attempts of this process that were under way during the reading. */
  witnessed: ReadonlySet<string>;
}

/**
 * Gives the paid attempts of the account whose charge was not known when the reading began, oldest first: in one query, so that
 * none can slip from one state to another between two.
 */
function attemptsInQuestion(tx: Queries, { account, witnessed }: Facts): Promise<AttemptRow[]> {
  const uncharged = tx
    .selectFrom('attempts')
    .selectAll()
    .where('account', '=', account)
    .where('charged_anlas', 'is', null)
    .where('state', 'in', ['sent', 'held'])
    .where('quoted_anlas', '>', 0);
  const ended = tx
    .selectFrom('attempts')
    .selectAll()
    .where('state', '=', 'settled')
    .where('id', 'in', [...witnessed]);
  const both = witnessed.size === 0 ? uncharged : uncharged.unionAll(ended);
  return both.orderBy('sent_at_ms').orderBy('seq').execute();
}

/** What of them may or may not be in the balance. */
function overlappingCharges(attempts: readonly AttemptRow[]): OverlappingCharge[] {
  return attempts.flatMap(({ state, quoted_anlas, charged_anlas }) =>
    state === 'held' ? [] : [{ anlas: charged_anlas ?? quoted_anlas, isCounted: state === 'settled' }],
  );
}

/**
 * Gives how many Anlas were bought since, where that is plain: the purchased pool rose, while the other one could pay for
 * everything and did not rise. (A refill of the fixed pool cannot be told from what was spent of it.)
 */
function boughtBetween(
  before: { fixed_anlas: number; purchased_anlas: number; spent_since_anlas: number },
  after: AnlasBalance,
  inQuestion: readonly AttemptRow[],
): number {
  const bought = after.purchasedAnlas - before.purchased_anlas;
  const most = inQuestion.reduce((sum, { quoted_anlas }) => sum + quoted_anlas, before.spent_since_anlas);
  return bought > 0 && after.fixedAnlas <= before.fixed_anlas && before.fixed_anlas > most ? bought : 0;
}

async function markUndecidable(tx: Queries, attemptIds: readonly string[]): Promise<void> {
  if (attemptIds.length === 0) return;
  await tx.updateTable('attempts').set({ resolution: 'undecidable' }).where('id', 'in', attemptIds).execute();
}

function whyOf({ undecidable, driftAnlas }: ClearVerdict): string {
  const what = driftAnlas > 0 ? 'spent outside of the service, or charged unseen' : 'refilled or bought';
  return undecidable.length === 0 ? what : `${what}; with ${undecidable.length} attempts of unknown charge`;
}
