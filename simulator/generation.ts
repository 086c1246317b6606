// One generation at a time: the account's lock, the balance check, the time it takes, and the charge at its end.
import { NOVELAI_MESSAGES } from '../src/novelai/error-form.ts';
import { priceOf } from '../src/novelai/price.ts';
import type { Billable } from '../src/novelai/price.ts';
import type { AccountState } from './accounts/accounts.ts';
import type { SimulatorClock } from './clock.ts';
import type { Exchange } from './exchange.ts';
import { isChargedFault } from './faults.ts';
import type { TimedWork } from './latency.ts';
import { Refusal } from './refusal.ts';
import type { Slot } from './truth-log.ts';
import type { World } from './world.ts';

/** The locks of all accounts: one for pictures, one for text (contract 6). */
export class GenerationLocks {
  readonly #held: Record<Slot, Set<AccountState>> = { image: new Set(), text: new Set() };

  /** Takes the lock; false when it is taken. */
  take(account: AccountState, slot: Slot): boolean {
    if (this.#held[slot].has(account)) return false;
    this.#held[slot].add(account);
    return true;
  }

  release(account: AccountState, slot: Slot): void {
    this.#held[slot].delete(account);
  }
}

/** How a running generation passes its time. */
export class Pace {
  readonly durationMs: number;
  readonly #clock: SimulatorClock;
  readonly #startMs: number;

  constructor(clock: SimulatorClock, durationMs: number) {
    this.#clock = clock;
    this.durationMs = durationMs;
    this.#startMs = clock.monotonicMs();
  }

  /** Resolves when this share (0 to 1) of the duration has passed. */
  until(share: number): Promise<void> {
    if (this.durationMs <= 0) return Promise.resolve();
    return this.#clock.wait(this.#startMs + share * this.durationMs - this.#clock.monotonicMs());
  }
}

/** What is to be generated. */
export interface GenerationJob<T> {
  readonly slot: Slot;
  readonly work: TimedWork;
  readonly billable: Billable;
  /** Makes the result while the time passes; the generation lasts as long as the longer of the two. */
  produce(pace: Pace): Promise<T> | T;
}

/**
 * Runs a generation to its end and gives its result; whether the client is still there makes no difference, as at NovelAI. The
 * lock is free and the charge made when this resolves, and only then may the last byte of the answer go out. Throws Refusal: 400
 * for what is done at no price, 429 while another runs, 402 when the balance does not cover it.
 */
export async function generate<T>(exchange: Exchange, world: World, job: GenerationJob<T>): Promise<T> {
  const { account, row } = exchange;
  const { truth, clock, locks } = world;
  const price = priceOf(job.billable, account.payingAccount());
  if (price.refusal !== undefined) throw new Refusal(400, `Validation error: ${price.refusal}`);
  if (!locks.take(account, job.slot)) {
    truth.refuseLock(row);
    throw new Refusal(429, NOVELAI_MESSAGES.concurrentGenerationLocked);
  }
  if (price.costAnlas > account.balanceAnlas) {
    locks.release(account, job.slot);
    throw new Refusal(402, NOVELAI_MESSAGES.notEnoughAnlas);
  }

  exchange.beginWork();
  const pace = new Pace(clock, world.latency.generationMs(job.work));
  truth.startGeneration(row, clock.monotonicMs());
  let isSuccess = false;
  try {
    const [result] = await Promise.all([job.produce(pace), pace.until(1)]);
    isSuccess = exchange.fault === undefined || isChargedFault(exchange.fault);
    if (isSuccess) {
      const allowanceImages = price.drainsAllowance ? 1 : 0;
      account.charge(price.costAnlas);
      if (allowanceImages > 0) account.drainAllowance(allowanceImages);
      truth.charge(row, price.costAnlas, allowanceImages);
    }
    return result;
  } finally {
    locks.release(account, job.slot);
    truth.releaseGeneration(row, clock.monotonicMs(), { isSuccess });
    exchange.endWork();
  }
}
