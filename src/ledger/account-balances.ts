// What the ledger reckons an account's Anlas to be: the last reading, less what is known to have been spent since.
import type { Selectable } from 'kysely';
import { prepareQuery } from '../store/prepared-query.ts';
import type { AccountBalancesTable } from '../store/schema.ts';
import type { Queries, Store } from '../store/store.ts';
import type { AnlasBalance } from './attempt.ts';

export type AccountBalanceRow = Selectable<AccountBalancesTable>;

const balanceQuery = prepareQuery((db, slots: { account: string }) =>
  db.selectFrom('account_balances').selectAll().where('account', '=', slots.account),
);

export async function findBalance(db: Queries, account: string): Promise<AccountBalanceRow | undefined> {
  const [balance] = await balanceQuery(db, { account });
  return balance;
}

export function expectedAnlas({ fixed_anlas, purchased_anlas, spent_since_anlas }: AccountBalanceRow): number {
  return fixed_anlas + purchased_anlas - spent_since_anlas;
}

export interface BalanceToSave extends AnlasBalance {
  spentSinceAnlas: number;
  atMs: number;
}

export async function saveBalance(tx: Queries, account: string, balance: BalanceToSave): Promise<void> {
  const values = {
    fixed_anlas: balance.fixedAnlas,
    purchased_anlas: balance.purchasedAnlas,
    spent_since_anlas: balance.spentSinceAnlas,
    read_at_ms: balance.atMs,
  };
  await tx
    .insertInto('account_balances')
    .values({ account, ...values })
    .onConflict((conflict) => conflict.column('account').doUpdateSet(values))
    .execute();
}

/**
 * Gives what an account should have, or undefined when that is not known. `firstReading` is taken for a reading where there was
 * none yet.
 */
export async function reckonAnlas(
  tx: Queries,
  account: string,
  { firstReading, atMs }: { firstReading: AnlasBalance | undefined; atMs: number },
): Promise<number | undefined> {
  const balance = await findBalance(tx, account);
  if (balance) return expectedAnlas(balance);
  if (!firstReading) return undefined;
  const { fixedAnlas, purchasedAnlas } = firstReading;
  await tx
    .insertInto('account_balances')
    .values({
      account,
      fixed_anlas: fixedAnlas,
      purchased_anlas: purchasedAnlas,
      spent_since_anlas: 0,
      read_at_ms: atMs,
    })
    .onConflict((conflict) => conflict.column('account').doNothing())
    .execute();
  return fixedAnlas + purchasedAnlas;
}

/** Keeps other transactions from reckoning with this account until this one ends. */
export function lockAccount(tx: Queries, store: Store, account: string): Promise<void> {
  return store.lock(tx, `account/${account}`);
}

const spendingQuery = prepareQuery((db, slots: { account: string; anlas: number }) =>
  db
    .updateTable('account_balances')
    .set((row) => ({ spent_since_anlas: row('spent_since_anlas', '+', slots.anlas) }))
    .where('account', '=', slots.account),
);

/** Notes a charge that is now known. Without a reading there is nothing to reckon from. */
export async function addSpending(tx: Queries, store: Store, account: string | null, anlas: number): Promise<void> {
  if (account === null || anlas === 0) return;
  await lockAccount(tx, store, account);
  await spendingQuery(tx, { account, anlas });
}

export interface Drift {
  account: string;
  atMs: number;
  expectedAnlas: number;
  actualAnlas: number;
  /** Positive: gone without a known cause; negative: come in, or explained afterwards. */
  driftAnlas: number;
  why: string;
}

/** Writes down what a reading showed beyond what the ledger knows of; nothing where there is nothing. */
export async function insertDrift(tx: Queries, drift: Drift): Promise<void> {
  if (drift.driftAnlas === 0) return;
  await tx
    .insertInto('balance_drifts')
    .values({
      account: drift.account,
      at_ms: drift.atMs,
      expected_anlas: drift.expectedAnlas,
      actual_anlas: drift.actualAnlas,
      drift_anlas: drift.driftAnlas,
      why: drift.why,
    })
    .execute();
}
