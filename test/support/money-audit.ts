// Holds the ledger against the truth: what the simulated NovelAI charged each account, and what the service wrote down of it.
import type { Simulator } from '../../simulator/simulator.ts';
import type { AttemptRow } from '../../src/ledger/attempt.ts';
import { verifyBooks } from '../../src/ledger/verify.ts';
import { openStore } from '../../src/store/open-store.ts';
import type { Queries } from '../../src/store/store.ts';

/** One account's money; all in Anlas. */
export interface AccountMoney {
  account: string;
  /** What NovelAI took. */
  truth: number;
  /** What the ledger has settled, found by a reading or known at once. */
  ledger: number;
  /** Set aside for attempts whose charge is listed as unknown. */
  held: number;
  /** Set aside for attempts that have not ended. */
  open: number;
  /** What readings showed without a known cause, and in how many of them. */
  drift: number;
  drifts: number;
}

export interface MoneyAudit {
  accounts: AccountMoney[];
  truth: number;
  ledger: number;
  attempts: number;
  /** Attempts by state, and the ended ones by outcome. */
  states: Record<string, number>;
  outcomes: Record<string, number>;
  /** Of the unknown ones: how their charge was found; `listed` where it was not. */
  unknowns: Record<string, number>;
  /** Whatever is not as it must be; empty when all is well. */
  problems: string[];
}

/** What is read of a ledger at one moment. */
export interface LedgerView {
  attempts: AttemptRow[];
  drifts: { account: string; drift_anlas: number }[];
  differences: number;
  /** Left in the books of all clients. */
  booksReserved: number;
  booksHeld: number;
}

/** Reads a ledger beside the service that keeps it, or alone. `databaseUrl` where it is not in `dataDir`. */
export async function readLedger(dataDir: string, databaseUrl?: string): Promise<LedgerView> {
  const store = await openStore({ dataDir, databaseUrl, role: 'tool' });
  try {
    return await store.read(viewOf);
  } finally {
    await store.close();
  }
}

async function viewOf(db: Queries): Promise<LedgerView> {
  const books = await db.selectFrom('books').selectAll().where('budget', '=', 'anlas_total').execute();
  return {
    attempts: await db.selectFrom('attempts').selectAll().orderBy('seq').execute(),
    drifts: await db.selectFrom('balance_drifts').select(['account', 'drift_anlas']).execute(),
    differences: (await verifyBooks(db)).length,
    booksReserved: sum(books.map(({ reserved }) => reserved)),
    booksHeld: sum(books.map(({ held }) => held)),
  };
}

/** Gives each account's money; `emails` says under which e-mail the simulator knows the ledger's accounts. */
export function moneyOf(
  { attempts, drifts }: LedgerView,
  simulator: Simulator,
  emails: ReadonlyMap<string, string>,
): AccountMoney[] {
  return [...emails].map(([account, email]) => {
    const own = attempts.filter((attempt) => attempt.account === account);
    const ownDrifts = drifts.filter((drift) => drift.account === account);
    const quotedIn = (...states: string[]) =>
      sum(own.filter(({ state }) => states.includes(state)).map(({ quoted_anlas }) => quoted_anlas));
    return {
      account,
      truth: simulator.truth.account(email).chargedAnlas,
      ledger: sum(own.map(({ charged_anlas }) => charged_anlas ?? 0)),
      held: quotedIn('held'),
      open: quotedIn('reserved', 'sent'),
      drift: sum(ownDrifts.map(({ drift_anlas }) => drift_anlas)),
      drifts: ownDrifts.length,
    };
  });
}

/** Audits a ledger when all work is over and every unknown charge has been looked for. */
export function auditMoney(view: LedgerView, simulator: Simulator, emails: ReadonlyMap<string, string>): MoneyAudit {
  const accounts = moneyOf(view, simulator, emails);
  const { attempts } = view;
  const states = countBy(attempts, ({ state }) => state);
  const truth = sum(accounts.map((account) => account.truth));
  const ledger = sum(attempts.map(({ charged_anlas }) => charged_anlas ?? 0));
  const problems: string[] = [];
  for (const { account, truth, ledger, held, drift, drifts } of accounts) {
    // What no reading could decide is listed, and is the only thing that may be open.
    if (held === 0 && truth !== ledger)
      problems.push(`charges: NovelAI took ${truth} from ${account}, the ledger has ${ledger}`);
    if (held > 0 && (truth < ledger || truth > ledger + held))
      problems.push(`charges: NovelAI took ${truth} from ${account}, the ledger has ${ledger} and lists ${held}`);
    if (drifts > 0) problems.push(`drift: ${drift} Anlas of ${account} without a known cause, in ${drifts} readings`);
  }
  if (truth !== simulator.truth.totals().chargedAnlas) problems.push('an account is missing from the audit');
  for (const state of ['reserved', 'sent'])
    if (states[state]) problems.push(`left over: ${states[state]} attempts are still ${state}`);
  if (view.booksReserved !== 0) problems.push(`left over: ${view.booksReserved} Anlas are still reserved in the books`);
  if (view.booksHeld !== sum(accounts.map(({ held }) => held)))
    problems.push(`the books hold ${view.booksHeld} Anlas, the attempts another sum`);
  if (view.differences > 0) problems.push(`verify: ${view.differences} differences between books and postings`);
  return {
    accounts,
    truth,
    ledger,
    attempts: attempts.length,
    states,
    outcomes: countBy(attempts, ({ outcome }) => outcome ?? 'none'),
    unknowns: countBy(
      attempts.filter(({ outcome, quoted_anlas }) => outcome === 'unknown' && quoted_anlas > 0),
      ({ resolution, charged_anlas }) =>
        resolution === null || resolution === 'undecidable'
          ? 'listed'
          : `${resolution} ${(charged_anlas ?? 0) > 0 ? 'charged' : 'free'}`,
    ),
    problems,
  };
}

/** Attempts that a reading may still decide. */
export function undecided({ attempts }: Pick<LedgerView, 'attempts'>): AttemptRow[] {
  return attempts.filter(({ state, resolution }) => state === 'held' && resolution === null);
}

export function sum(amounts: readonly number[]): number {
  return amounts.reduce((total, amount) => total + amount, 0);
}

export function countBy<T>(items: readonly T[], keyOf: (item: T) => string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const item of items) counts[keyOf(item)] = (counts[keyOf(item)] ?? 0) + 1;
  return counts;
}
