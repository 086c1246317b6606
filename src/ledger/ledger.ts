// The money of the service: what each request may cost, does cost and did cost, on whose budget (design section 6).
import type { Clock } from '../lib/clock.ts';
import type { Outcome } from '../lib/outcome.ts';
import { randomAlphanumerics } from '../lib/random-text.ts';
import type { Store } from '../store/store.ts';
import { StoreUnavailableError } from '../store/store-error.ts';
import { AccountReadings, type Reading } from './account-readings.ts';
import {
  checkAmount,
  type AttemptRow,
  type FreeOutcome,
  type RequestToReserve,
  type Reservation,
  type Sending,
  type Settlement,
} from './attempt.ts';
import { findAttempt, greatestTimeMs, heldAttempts, insertAttempt, type MovedAttempt } from './attempts.ts';
import { holdAttempt, releaseAttempt, releaseReserved, settleAttempt, type Ending } from './endings.ts';
import { readAvailableAnlas } from './available-anlas.ts';
import { utcDay, type BudgetLimits } from './budgets.ts';
import { ClientBooks } from './client-books.ts';
import { LedgerClock } from './ledger-clock.ts';
import { OwedEndings } from './owed-endings.ts';
import { recoverAttempts, type Recovery } from './recovery.ts';
import { readReport, type ReportQuery, type ReportRow } from './report.ts';
import { BudgetRefused, outOfOrder, sendAttempt, unsendAttempt } from './sending.ts';
import { verifyBooks, type Difference } from './verify.ts';

export interface LedgerOptions {
  store: Store;
  clock: Clock;
  /** Longest time NovelAI works on one generation: until then a balance says nothing final about an unknown attempt. */
  generationLimitMs?: number;
}

const GENERATION_LIMIT_MS = 180_000;

/**
 * One attempt goes through `reserved`, `sent` and one end:
 *
 * ```
 * reserve ─► markSent ─┬─► settle            succeeded, or failed and charged
 *    │  ▲        │     ├─► release           failed, surely without a charge
 *    │  └────────┘     └─► hold ─► reading   charge not known: the account's balance tells
 *    │  markUnsent
 *    └─► release       cancelled, expired, refused later
 * ```
 *
 * `reserve` and `markSent` throw {@link StoreUnavailableError} when the database cannot be written; the request must then not
 * be sent. The ends never fail for that reason: they are kept and written when the database is back. Every other use out of
 * this order throws {@link LedgerError}, so a fault in the calling code shows instead of moving money.
 */
export class Ledger {
  readonly #store: Store;
  readonly #clock: LedgerClock;
  readonly #owed: OwedEndings;
  readonly #readings: AccountReadings;
  /** This process's mark on its open attempts, so that several instances can tell theirs apart. */
  readonly owner = randomAlphanumerics(12);

  private constructor({ store, clock, generationLimitMs = GENERATION_LIMIT_MS }: LedgerOptions, greatestMs: number) {
    this.#store = store;
    this.#clock = new LedgerClock(clock, greatestMs);
    this.#owed = new OwedEndings(clock);
    this.#readings = new AccountReadings({ store, clock: this.#clock, generationLimitMs });
  }

  /** @throws {StoreUnavailableError} when the database cannot be read. */
  static async open(options: LedgerOptions): Promise<Ledger> {
    return new Ledger(options, await options.store.read(greatestTimeMs));
  }

  /** How far the wall clock is behind the latest time written down; see {@link LedgerClock}. */
  get clockLagMs(): number {
    return this.#clock.lagMs;
  }

  /** Ends of requests that wait for the database to be written. */
  get owedCount(): number {
    return this.#owed.count;
  }

  /**
   * Sets the request's cost aside, or says which budget has not enough left; then nothing is used up.
   *
   * Resolves when it is committed, without a wait for the disk: a reservation that a power cut takes back has sent nothing.
   * @throws {StoreUnavailableError} when it cannot be written; the request must be refused with 503.
   */
  async reserve(request: RequestToReserve): Promise<Reservation> {
    checkAmount('costAnlas', request.costAnlas);
    checkAmount('images', request.images);
    const { requestId, clientId } = request;
    const amounts = { anlas: request.costAnlas, images: request.images };
    const atMs = this.#clock.nowMs();
    const day = utcDay(atMs);
    try {
      return await this.#store.write<Reservation>(
        async (tx) => {
          const books = await ClientBooks.open(tx, this.#store, { clientId, day }, amounts);
          books.setLimits(request.limits);
          const refusal = books.refusalOf(amounts);
          if (refusal) return refusal;
          books.each((book, amountOf) => book.take('reserved', amountOf(amounts)));
          await insertAttempt(tx, { request, day, owner: this.owner, atMs });
          await books.save(tx, { attemptId: requestId, atMs });
          return { isGranted: true, attemptId: requestId };
        },
        { isDurable: false },
      );
    } catch (error) {
      // It may be stored after all; nobody would ever end it then.
      if (error instanceof StoreUnavailableError && error.isInDoubt) void this.#giveUpReservation(requestId);
      throw error;
    }
  }

  /**
   * Writes down that the request is about to be sent; on the disk before it resolves, and nothing may be sent before that. When
   * the account's price differs from what was reserved, the reservation is changed; where the budget has not enough left for
   * it, the refusal is given, the attempt stays reserved, and it must not be sent to this account.
   *
   * Where the price is known to be 0, it resolves when it is committed: a power cut that takes it back loses no Anlas, and
   * outlasts the generation. The death of the process takes nothing back.
   * @throws {StoreUnavailableError} when it cannot be written; it must not be sent, and be released.
   */
  async markSent(attemptId: string, sending: Sending): Promise<Reservation> {
    const { account, quotedAnlas } = sending;
    checkAmount('quotedAnlas', quotedAnlas);
    const atMs = this.#clock.nowMs();
    // Before it is written, so that no reading of the balance can miss it.
    if (quotedAnlas > 0) this.#readings.onSent(account, attemptId);
    try {
      await this.#store.write((tx) => sendAttempt({ tx, store: this.#store, atMs }, attemptId, sending), {
        // The account stands idle meanwhile.
        isUrgent: true,
        isDurable: quotedAnlas > 0 || sending.balanceBefore === undefined,
      });
      return { isGranted: true, attemptId };
    } catch (error) {
      this.#readings.onEnded(account, attemptId);
      if (error instanceof BudgetRefused) return error.refusal;
      throw error;
    }
  }

  /**
   * Takes the sending back, on proof that nothing was charged (design I2): the attempt may be sent again or released.
   * @throws {StoreUnavailableError} when it cannot be written; then it must not be sent again, only released.
   */
  async markUnsent(attemptId: string, why: string): Promise<void> {
    const atMs = this.#clock.nowMs();
    const attempt = await this.#store.write((tx) => unsendAttempt({ tx, store: this.#store, atMs }, attemptId, why));
    this.#readings.onEnded(attempt.account, attemptId);
  }

  /** Ends a sent attempt whose charge is known. Resolves when it is on the disk, however long the database takes to come back. */
  async settle(attemptId: string, settlement: Settlement): Promise<void> {
    checkAmount('chargedAnlas', settlement.chargedAnlas);
    if (settlement.images !== undefined) checkAmount('images', settlement.images);
    await this.#end(attemptId, settlement.outcome, (ending) => settleAttempt(ending, attemptId, settlement));
  }

  /** Ends an attempt that cost nothing, sent or not; what was set aside is available again. Resolves as {@link settle} does. */
  async release(attemptId: string, outcome: FreeOutcome): Promise<void> {
    await this.#end(attemptId, outcome, (ending) => releaseAttempt(ending, attemptId, outcome));
  }

  /**
   * Ends a sent attempt of which nobody knows whether it was charged. Its Anlas stay set aside until a reading of the account's
   * balance tells, or an operator; at a price of 0 there is nothing to find out, and it is released. Resolves as {@link settle}.
   */
  async hold(attemptId: string): Promise<void> {
    await this.#end(attemptId, 'unknown', (ending) => holdAttempt(ending, attemptId));
  }

  /** Begins a reading of an account's balance: to be called before NovelAI is asked, and finished with its answer. */
  startReading(account: string): Reading {
    return this.#readings.start(account);
  }

  /**
   * Ends an unknown attempt by an operator's word.
   * @throws {LedgerError} when there is no such attempt among the {@link unresolved}.
   */
  async resolve(attemptId: string, { chargedAnlas }: { chargedAnlas: number }): Promise<void> {
    checkAmount('chargedAnlas', chargedAnlas);
    await this.#store.write((tx) => this.#readings.resolveByHand(tx, attemptId, chargedAnlas));
  }

  /** The attempts whose charge is not known; `resolution` is `undecidable` where no balance can tell any more. */
  unresolved(): Promise<AttemptRow[]> {
    return this.#store.read((db) => heldAttempts(db));
  }

  /**
   * Ends what a process that died has left open: what was reserved is released, what was sent is held. To be called at start,
   * before anything is sent. With several instances on one database, `otherOwners` names those that are alive.
   */
  recover({ otherOwners = [] }: { otherOwners?: readonly string[] } = {}): Promise<Recovery> {
    return recoverAttempts(this.#store, { liveOwners: [this.owner, ...otherOwners], nowMs: () => this.#clock.nowMs() });
  }

  /** Sums by client, day, model or account. Reads every attempt of the time asked for: about a second for a million. */
  report(query: ReportQuery): Promise<ReportRow[]> {
    return this.#store.read((db) => readReport(db, query));
  }

  /** Anlas that a client may still spend today; Infinity where it has no budget. */
  availableAnlas(clientId: string, limits: BudgetLimits): Promise<number> {
    const day = utcDay(this.#clock.nowMs());
    return this.#store.read((db) => readAvailableAnlas(db, { clientId, day, limits }));
  }

  /** Computes every balance anew, from the postings and from the attempts, and gives what differs: nothing, unless there is a fault. */
  verify(): Promise<Difference[]> {
    return this.#store.read(verifyBooks);
  }

  /** Writes what is still owed, if the database can be written. The store is the caller's to close. */
  async close(): Promise<void> {
    await this.#owed.close();
  }

  async #end(
    attemptId: string,
    outcome: Outcome,
    write: (ending: Ending) => Promise<MovedAttempt | undefined>,
  ): Promise<void> {
    const atMs = this.#clock.nowMs();
    let isRepeated = false;
    await this.#owed.run(async () => {
      // Written again after a failure, it may find that the first try was stored after all.
      const mayBeDone = isRepeated;
      isRepeated = true;
      const attempt = await this.#store.write(async (tx) => {
        const ended = await write({ tx, store: this.#store, atMs });
        if (ended) return ended;
        const known = await findAttempt(tx, attemptId);
        if (known && mayBeDone && known.outcome === outcome) return known;
        throw await outOfOrder({ tx }, attemptId, outcome);
      });
      this.#readings.onEnded(attempt.account, attemptId);
    });
  }

  async #giveUpReservation(attemptId: string): Promise<void> {
    const atMs = this.#clock.nowMs();
    await this.#owed
      .run(async () => {
        await this.#store.write((tx) => releaseReserved({ tx, store: this.#store, atMs }, attemptId));
      })
      // Given up when the ledger closes: the next start releases it.
      .catch(() => undefined);
  }
}
