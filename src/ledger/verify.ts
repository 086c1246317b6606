// Computes every book anew, twice over: from its postings and from the attempts. All three must agree to the unit.
import { sql } from 'kysely';
import type { BooksTable } from '../store/schema.ts';
import type { Queries } from '../store/store.ts';
import { applyMovement, NOTHING, type Balances } from './book.ts';
import { ANLAS_BUDGETS, IMAGE_BUDGETS, periodOf } from './budgets.ts';

/** One figure of which two sources say different things. */
export interface Difference {
  /** Client, budget and period. */
  book: string;
  figure: string;
  /** What the postings, the attempts or the rule say. */
  expected: number;
  /** What the book says. */
  actual: number;
  source: 'postings' | 'attempts' | 'rule';
}

const FIGURES = ['granted', 'available', 'reserved', 'held', 'settled'] as const;
const USED = ['reserved', 'held', 'settled'] as const;

export async function verifyBooks(db: Queries): Promise<Difference[]> {
  const books = new Map((await db.selectFrom('books').selectAll().execute()).map((row) => [keyOf(row), row]));
  const differences: Difference[] = [];
  for (const [book, row] of books) {
    const used = row.reserved + row.held + row.settled;
    const rule = { granted: Math.max(row.limit_amount ?? 0, used), available: row.granted - used };
    for (const figure of ['granted', 'available'] as const)
      if (row[figure] !== rule[figure])
        differences.push({ book, figure, expected: rule[figure], actual: row[figure], source: 'rule' });
  }
  compare(books, await fromPostings(db), 'postings', FIGURES, differences);
  compare(books, await fromAttempts(db), 'attempts', USED, differences);
  return differences;
}

function compare(
  books: ReadonlyMap<string, Balances>,
  computed: ReadonlyMap<string, Balances>,
  source: Difference['source'],
  figures: readonly (keyof Balances)[],
  differences: Difference[],
): void {
  for (const book of new Set([...books.keys(), ...computed.keys()]))
    for (const figure of figures) {
      const expected = computed.get(book)?.[figure] ?? 0;
      const actual = books.get(book)?.[figure] ?? 0;
      if (expected !== actual) differences.push({ book, figure, expected, actual, source });
    }
}

type BookKey = Pick<BooksTable, 'client_id' | 'budget' | 'period'>;

function keyOf({ client_id, budget, period }: BookKey): string {
  return `${client_id} ${budget} ${period}`;
}

async function fromPostings(db: Queries): Promise<Map<string, Balances>> {
  const rows = await db
    .selectFrom('postings')
    .select(['client_id', 'budget', 'period', 'from_bucket', 'to_bucket'])
    .select((eb) => eb.fn.sum<number>('amount').as('amount'))
    .groupBy(['client_id', 'budget', 'period', 'from_bucket', 'to_bucket'])
    .execute();
  const computed = new Map<string, Balances>();
  for (const row of rows)
    applyMovement(balancesOf(computed, keyOf(row)), { from: row.from_bucket, to: row.to_bucket, amount: row.amount });
  return computed;
}

async function fromAttempts(db: Queries): Promise<Map<string, Balances>> {
  const sumWhere = (column: string, condition: string) =>
    sql<number>`sum(case when ${sql.raw(condition)} then ${sql.ref(column)} else 0 end)`;
  const rows = await db
    .selectFrom('attempts')
    .select(['client_id', 'day'])
    .select([
      sumWhere('quoted_anlas', "state in ('reserved', 'sent')").as('anlas_reserved'),
      sumWhere('quoted_anlas', "state = 'held'").as('anlas_held'),
      sumWhere('charged_anlas', "state in ('settled', 'released')").as('anlas_settled'),
      sumWhere('images', "state in ('reserved', 'sent')").as('images_reserved'),
      sumWhere('images', "state = 'held'").as('images_held'),
      sumWhere('charged_images', "state in ('settled', 'released')").as('images_settled'),
    ])
    .groupBy(['client_id', 'day'])
    .execute();
  const computed = new Map<string, Balances>();
  for (const row of rows) {
    for (const [budgets, unit] of [
      [ANLAS_BUDGETS, 'anlas'],
      [IMAGE_BUDGETS, 'images'],
    ] as const)
      for (const budget of budgets) {
        const key = keyOf({ client_id: row.client_id, budget, period: periodOf(budget, row.day) });
        const balances = balancesOf(computed, key);
        for (const figure of USED) balances[figure] += row[`${unit}_${figure}`];
      }
  }
  return computed;
}

function balancesOf(computed: Map<string, Balances>, key: string): Balances {
  const known = computed.get(key) ?? { ...NOTHING };
  computed.set(key, known);
  return known;
}
