// What the suites of the ledger share: requests, steps and looks at the books.
import assert from 'node:assert/strict';
import { NO_LIMITS, type BudgetLimits } from '../../src/ledger/budgets.ts';
import { Ledger } from '../../src/ledger/ledger.ts';
import type { RequestToReserve } from '../../src/ledger/attempt.ts';
import type { Store } from '../../src/store/store.ts';
import { FakeClock } from '../unit/ledger/fake-clock.ts';
import type { Database } from './engines.ts';

export const START_MS = Date.UTC(2026, 10, 24, 12);
export const GENERATION_LIMIT_MS = 60_000;

export async function openLedger(database: Database, wallMs = START_MS, { waitsForDisk = true } = {}) {
  const { store } = await database.openEmpty({ waitsForDisk });
  const clock = new FakeClock(wallMs);
  return { store, clock, ledger: await reopenLedger(store, clock) };
}

/** As a new process would. */
export function reopenLedger(store: Store, clock: FakeClock): Promise<Ledger> {
  return Ledger.open({ store, clock, generationLimitMs: GENERATION_LIMIT_MS });
}

let count = 0;

export function request(options: Partial<RequestToReserve> = {}): RequestToReserve {
  count += 1;
  return {
    requestId: `r${count}`,
    clientId: 'bot',
    clientName: 'Bot',
    endpoint: 'generate-image',
    model: 'nai-diffusion-4-5-full',
    costAnlas: 20,
    images: 1,
    limits: NO_LIMITS,
    ...options,
  };
}

export function limits(some: Partial<BudgetLimits>): BudgetLimits {
  return { ...NO_LIMITS, ...some };
}

export async function granted(ledger: Ledger, options: Partial<RequestToReserve> = {}): Promise<string> {
  const reservation = await ledger.reserve(request(options));
  assert.ok(reservation.isGranted, JSON.stringify(reservation));
  return reservation.attemptId;
}

export async function sent(
  ledger: Ledger,
  options: Partial<RequestToReserve> & { account?: string } = {},
): Promise<string> {
  const { account = 'main', ...rest } = options;
  const id = await granted(ledger, rest);
  const sending = await ledger.markSent(id, {
    account,
    quotedAnlas: rest.costAnlas ?? 20,
    limits: rest.limits ?? NO_LIMITS,
  });
  assert.ok(sending.isGranted);
  return id;
}

/** A book as `granted available reserved held settled`; undefined where there is none. */
export async function book(
  store: Store,
  budget: string,
  period: string,
  clientId = 'bot',
): Promise<string | undefined> {
  const row = await store.read((db) =>
    db
      .selectFrom('books')
      .selectAll()
      .where('client_id', '=', clientId)
      .where('budget', '=', budget)
      .where('period', '=', period)
      .executeTakeFirst(),
  );
  return row && [row.granted, row.available, row.reserved, row.held, row.settled].join(' ');
}

export async function attempt(store: Store, id: string) {
  return store.read((db) => db.selectFrom('attempts').selectAll().where('id', '=', id).executeTakeFirstOrThrow());
}

export async function read(ledger: Ledger, anlas: number, account = 'main') {
  return ledger.startReading(account).finish({ fixedAnlas: anlas, purchasedAnlas: 0 });
}
