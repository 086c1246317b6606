// What a client may still spend.
import type { Queries } from '../store/store.ts';
import { ANLAS_BUDGETS, limitOf, periodOf, type BudgetLimits } from './budgets.ts';

/** Gives the Anlas left of the tightest of a client's budgets on a UTC day, never below 0; Infinity where it has none. */
export async function readAvailableAnlas(
  db: Queries,
  { clientId, day, limits }: { clientId: string; day: string; limits: BudgetLimits },
): Promise<number> {
  const limited = ANLAS_BUDGETS.filter((kind) => limitOf(limits, kind) !== null);
  if (limited.length === 0) return Infinity;
  const books = await db
    .selectFrom('books')
    .select(['budget', 'period', 'reserved', 'held', 'settled'])
    .where('client_id', '=', clientId)
    .where('budget', 'in', limited)
    .execute();
  const left = limited.map((kind) => {
    const book = books.find(({ budget, period }) => budget === kind && period === periodOf(kind, day));
    return (limitOf(limits, kind) ?? Infinity) - (book ? book.reserved + book.held + book.settled : 0);
  });
  return Math.max(Math.min(...left), 0);
}
