// The books of one client for one day, in one transaction: read, changed by the rules of Book, and written back with their postings.
import type { Insertable } from 'kysely';
import { prepareQuery, prepareRowsQuery } from '../store/prepared-query.ts';
import type { BooksTable, PostingsTable } from '../store/schema.ts';
import type { Queries, Store } from '../store/store.ts';
import { Book } from './book.ts';
import {
  ANLAS_BUDGETS,
  IMAGE_BUDGETS,
  limitOf,
  periodOf,
  resetsAtMs,
  type BudgetKind,
  type BudgetLimits,
} from './budgets.ts';

/** What a request uses up: Anlas, and images of the day. */
export interface Amounts {
  anlas: number;
  images: number;
}

/** Why a budget turns a request away. */
export interface BudgetRefusal {
  isGranted: false;
  budget: BudgetKind;
  limit: number;
  /** Reserved, held and settled in the present period. */
  used: number;
  /** When the budget is whole again, Unix milliseconds; absent for the budget "in all". */
  resetsAtMs?: number | undefined;
}

export interface ClientDay {
  clientId: string;
  /** UTC day, such as `2026-11-24`. */
  day: string;
}

const dayBooksQuery = prepareQuery((db, slots: ClientDay) =>
  db.selectFrom('books').selectAll().where('client_id', '=', slots.clientId).where('period', '=', slots.day),
);

const allBooksQuery = prepareQuery((db, slots: ClientDay & { month: string }) =>
  db
    .selectFrom('books')
    .selectAll()
    .where('client_id', '=', slots.clientId)
    .where('period', 'in', [slots.day, slots.month, 'all']),
);

const saveBooksQuery = prepareRowsQuery((db, rows: BooksTable[]) =>
  db
    .insertInto('books')
    .values(rows)
    .onConflict((conflict) =>
      conflict.columns(['client_id', 'period', 'budget']).doUpdateSet((row) => ({
        limit_amount: row.ref('excluded.limit_amount'),
        granted: row.ref('excluded.granted'),
        available: row.ref('excluded.available'),
        reserved: row.ref('excluded.reserved'),
        held: row.ref('excluded.held'),
        settled: row.ref('excluded.settled'),
      })),
    ),
);

const insertPostingsQuery = prepareRowsQuery((db, rows: Insertable<PostingsTable>[]) =>
  db.insertInto('postings').values(rows),
);

export class ClientBooks {
  readonly #of: ClientDay;
  readonly #books: ReadonlyMap<BudgetKind, Book>;
  readonly #limitsBefore: ReadonlyMap<BudgetKind, number | null>;

  private constructor(of: ClientDay, books: ReadonlyMap<BudgetKind, Book>) {
    this.#of = of;
    this.#books = books;
    this.#limitsBefore = new Map([...books].map(([kind, { limit }]) => [kind, limit]));
  }

  /**
   * Reads the books that an amount concerns, and keeps other transactions off this client's money until this one ends: none of
   * Anlas where no Anlas are involved, none of images where there are none.
   */
  static async open(tx: Queries, store: Store, of: ClientDay, concerns: Amounts): Promise<ClientBooks> {
    const kinds: BudgetKind[] = [
      ...(concerns.anlas > 0 ? ANLAS_BUDGETS : []),
      ...(concerns.images > 0 ? IMAGE_BUDGETS : []),
    ];
    if (kinds.length === 0) return new ClientBooks(of, new Map());
    await store.lock(tx, `client/${of.clientId}`);
    const rows =
      concerns.anlas > 0
        ? await allBooksQuery(tx, { clientId: of.clientId, day: of.day, month: of.day.slice(0, 7) })
        : await dayBooksQuery(tx, of);
    const books = kinds.map((kind): [BudgetKind, Book] => {
      const row = rows.find(({ budget, period }) => budget === kind && period === periodOf(kind, of.day));
      return [kind, row ? new Book(row.limit_amount, row) : new Book(null)];
    });
    return new ClientBooks(of, new Map(books));
  }

  setLimits(limits: BudgetLimits): void {
    for (const [kind, book] of this.#books) {
      const limit = limitOf(limits, kind);
      if (book.limit !== limit) book.setLimit(limit);
    }
  }

  /** Gives the budget that has not so much left, the longest-lasting one first; undefined when all have. */
  refusalOf(amounts: Amounts): BudgetRefusal | undefined {
    for (const [budget, book] of this.#books)
      if (book.limit !== null && !book.canTake(amountOf(budget, amounts)))
        return {
          isGranted: false,
          budget,
          limit: book.limit,
          used: book.used,
          resetsAtMs: resetsAtMs(budget, this.#of.day),
        };
    return undefined;
  }

  /** Applies one change to each book, with the amount that counts there. */
  each(change: (book: Book, amountOf: (amounts: Amounts) => number) => void): void {
    for (const [kind, book] of this.#books) change(book, (amounts) => amountOf(kind, amounts));
  }

  /** Writes the changed balances and their postings. */
  async save(tx: Queries, { attemptId, atMs }: { attemptId: string; atMs: number }): Promise<void> {
    const { clientId, day } = this.#of;
    const changed = [...this.#books].filter(
      ([kind, book]) => book.movements.length > 0 || book.limit !== this.#limitsBefore.get(kind),
    );
    if (changed.length === 0) return;
    const rows = changed.map(([kind, book]): BooksTable => ({
      client_id: clientId,
      budget: kind,
      period: periodOf(kind, day),
      limit_amount: book.limit,
      ...book.balances,
    }));
    await saveBooksQuery(tx, rows);
    const postings = changed.flatMap(([kind, book]) =>
      book.movements.map(({ from, to, amount }): Insertable<PostingsTable> => ({
        at_ms: atMs,
        // Between these two an amount moves only because the limit changed.
        attempt_id: isLimitChange(from, to) ? null : attemptId,
        client_id: clientId,
        budget: kind,
        period: periodOf(kind, day),
        from_bucket: from,
        to_bucket: to,
        amount,
      })),
    );
    await insertPostingsQuery(tx, postings);
  }
}

function amountOf(kind: BudgetKind, { anlas, images }: Amounts): number {
  return kind === 'images_day' ? images : anlas;
}

function isLimitChange(from: string, to: string): boolean {
  return (from === 'available' && to === 'granted') || (from === 'granted' && to === 'available');
}
