// One request's entry in the ledger: set aside before it waits, written down before it is sent, ended when NovelAI has.
import type { Account } from '../accounts/account.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { BudgetRefusal } from '../ledger/client-books.ts';
import type { Outcome } from '../lib/outcome.ts';
import { ProxyError } from '../lib/proxy-error.ts';
import { StoreUnavailableError } from '../store/store-error.ts';
import type { GenerationRequest } from './generation-request.ts';
import type { DispatchDeps } from './passage.ts';

/** How long a client waits before it tries a ledger again that cannot be written. */
const LEDGER_RETRY_MS = 10_000;

/** An account makes no more of V5 than this between two slow readings of its balance, at some 17 pictures a percent (contract 3.9). */
const LOW_ALLOWANCE_PERCENT = 6;
/** Below this, each picture may be the last free one. */
const LAST_ALLOWANCE_PERCENT = 2;
/** A reading that takes longer is not waited for. */
const READING_LIMIT_MS = 5000;

type BookingDeps = Pick<DispatchDeps, 'ledger' | 'pool' | 'log' | 'clock'>;

export class Booking {
  readonly #request: GenerationRequest;
  readonly #deps: BookingDeps;
  readonly #ledger: Ledger;
  #quotedAnlas: number;
  /** Where it was last sent. */
  #account: Account | undefined;
  #hasEnded = false;

  private constructor(request: GenerationRequest, deps: BookingDeps, ledger: Ledger, quotedAnlas: number) {
    this.#request = request;
    this.#deps = deps;
    this.#ledger = ledger;
    this.#quotedAnlas = quotedAnlas;
  }

  /**
   * Sets the request's price aside. Gives undefined where no ledger is kept.
   * @throws {ProxyError} when a budget has not enough left, or the ledger cannot be written.
   */
  static async reserve(request: GenerationRequest, deps: BookingDeps): Promise<Booking | undefined> {
    const { ledger, pool, clock } = deps;
    if (!ledger) return undefined;
    const { id, client, endpointId, facts, work } = request;
    const costAnlas = pool.cheapest(work) ?? work.costAnlas.plain;
    const reservation = await orUnavailable(
      ledger.reserve({
        requestId: id,
        clientId: client.id,
        clientName: client.name,
        endpoint: endpointId,
        model: facts.model,
        action: facts.action ?? facts.tool,
        width: whole(facts.widthPx),
        height: whole(facts.heightPx),
        steps: whole(request.slot === 'text' ? facts.tokens : facts.steps),
        samples: whole(facts.samples),
        costAnlas,
        images: imagesOf(request),
        limits: client,
      }),
    );
    if (!reservation.isGranted) throw budgetError(reservation, clock.wallMs());
    return new Booking(request, deps, ledger, costAnlas);
  }

  /** What the request costs on the account it was last sent to, Anlas. */
  get quotedAnlas(): number {
    return this.#quotedAnlas;
  }

  /**
   * Writes down that the request goes to `account` now; nothing may be sent before this resolves (design section 6).
   * @throws {ProxyError} when the price there is beyond the budget, or the ledger cannot be written.
   */
  async markSent(account: Account): Promise<void> {
    await this.#readAllowance(account);
    const { subscription } = account.balance;
    this.#account = account;
    this.#quotedAnlas = account.balance.priceOf(this.#request.work) ?? this.#quotedAnlas;
    const reservation = await orUnavailable(
      this.#ledger.markSent(this.#request.id, {
        account: account.name,
        quotedAnlas: this.#quotedAnlas,
        limits: this.#request.client,
        balanceBefore: subscription,
      }),
    );
    if (!reservation.isGranted) throw budgetError(reservation, this.#deps.clock.wallMs());
  }

  /** Takes the sending back, on proof that nothing was charged, before another one. @throws {ProxyError} as `markSent`. */
  async markUnsent(why: string): Promise<void> {
    await orUnavailable(this.#ledger.markUnsent(this.#request.id, why));
  }

  /** Ends the entry. The ledger sees to it that it is written, however long that takes; nobody waits for it. */
  end(outcome: Outcome): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    const { id } = this.#request;
    this.#write(outcome, id).catch((error: unknown) => {
      this.#deps.log.error({ requestId: id, outcome, err: error }, 'the ledger did not take the end of a request');
    });
  }

  /**
   * Has the balance read first where the V5 allowance decides the price and may have run out, or grown again, unseen: a picture
   * itself does not tell whether it was charged.
   */
  async #readAllowance({ balance }: Account): Promise<void> {
    const { opus, opusWithoutAllowance } = this.#request.work.costAnlas;
    const allowance = balance.subscription?.allowance;
    if (!allowance || opus === opusWithoutAllowance || allowance.percent > LOW_ALLOWANCE_PERCENT) return;
    const isEndNear = allowance.percent < LAST_ALLOWANCE_PERCENT && !allowance.isNegative;
    const { promise: isLate, resolve } = Promise.withResolvers<void>();
    const stopTimer = this.#deps.clock.after(READING_LIMIT_MS, resolve);
    await Promise.race([isEndNear ? balance.refresh() : balance.refreshIfStale(), isLate]);
    stopTimer();
  }

  /** Holds what it may have cost, and has the balance looked at, which is what tells. */
  async #hold(attemptId: string): Promise<void> {
    await this.#ledger.hold(attemptId);
    if (this.#quotedAnlas > 0) void this.#account?.balance.refresh();
  }

  #write(outcome: Outcome, attemptId: string): Promise<void> {
    switch (outcome) {
      case 'succeeded':
        return this.#ledger.settle(attemptId, {
          outcome,
          chargedAnlas: this.#quotedAnlas,
          images: imagesOf(this.#request),
        });
      case 'failed_upstream_charged':
        return this.#ledger.settle(attemptId, { outcome, chargedAnlas: this.#quotedAnlas });
      case 'unknown':
        return this.#hold(attemptId);
      default:
        return this.#ledger.release(attemptId, outcome);
    }
  }
}

/** Images that a request makes, as the budget by day counts them. */
function imagesOf({ slot, facts: { billable, samples } }: GenerationRequest): number {
  if (slot !== 'image' || billable.kind === 'encode-vibe' || billable.kind === 'nothing') return 0;
  return billable.kind === 'generate' ? Math.max(whole(samples) ?? 1, 1) : 1;
}

/** Far above anything NovelAI takes. */
const MOST_OF_ANYTHING = 1e6;

/** A client may write any number; the ledger keeps whole ones, and none that makes no sense. */
function whole(value: number | undefined): number | undefined {
  return value !== undefined && Math.abs(value) <= MOST_OF_ANYTHING ? Math.ceil(value) : undefined;
}

async function orUnavailable<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    if (!(cause instanceof StoreUnavailableError)) throw cause;
    throw new ProxyError('proxy_ledger_unavailable', { cause, retryAfterMs: LEDGER_RETRY_MS });
  }
}

const BUDGET_NAMES = {
  anlas_day: 'Anlas a day',
  anlas_month: 'Anlas a month',
  anlas_total: 'Anlas in all',
  images_day: 'images a day',
} as const satisfies Record<BudgetRefusal['budget'], string>;

function budgetError({ budget, limit, used, resetsAtMs }: BudgetRefusal, wallMs: number): ProxyError {
  return new ProxyError('policy_budget', {
    message: `Not enough Anlas: this client's budget of ${limit} ${BUDGET_NAMES[budget]} does not cover this request (${used} used).`,
    retryAfterMs: resetsAtMs === undefined ? undefined : Math.max(resetsAtMs - wallMs, 1000),
  });
}
