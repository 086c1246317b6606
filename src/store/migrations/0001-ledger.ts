// The money: attempts, postings, books, and what is known of the accounts' Anlas.
import { sql, type CreateTableBuilder, type Kysely } from 'kysely';
import type { Engine, SchemaChange } from './schema-change.ts';

export const ledgerTables: SchemaChange = async (db, engine) => {
  await createAttempts(db, engine);
  await createBooks(db);
  await createPostings(db, engine);
  await createAccountTables(db, engine);
};

/** A row number that only grows, whatever the clock does. */
function withSequence<T extends string>(table: CreateTableBuilder<T>, engine: Engine) {
  return engine === 'sqlite'
    ? table.addColumn('seq', 'integer', (column) => column.primaryKey().autoIncrement())
    : table.addColumn('seq', 'bigint', (column) => column.primaryKey().generatedAlwaysAsIdentity());
}

async function createAttempts(db: Kysely<unknown>, engine: Engine): Promise<void> {
  await withSequence(db.schema.createTable('attempts'), engine)
    .addColumn('id', 'text', (column) => column.notNull().unique())
    .addColumn('client_id', 'text', (column) => column.notNull())
    .addColumn('client_name', 'text', (column) => column.notNull())
    .addColumn('endpoint', 'text', (column) => column.notNull())
    .addColumn('model', 'text')
    .addColumn('action', 'text')
    .addColumn('width', 'bigint')
    .addColumn('height', 'bigint')
    .addColumn('steps', 'bigint')
    .addColumn('samples', 'bigint')
    .addColumn('state', 'text', (column) =>
      column.notNull().check(sql`state in ('reserved', 'sent', 'held', 'settled', 'released')`),
    )
    .addColumn('outcome', 'text')
    .addColumn('quoted_anlas', 'bigint', (column) => column.notNull().check(sql`quoted_anlas >= 0`))
    .addColumn('images', 'bigint', (column) => column.notNull().check(sql`images >= 0`))
    .addColumn('charged_anlas', 'bigint', (column) => column.check(sql`charged_anlas >= 0`))
    .addColumn('charged_images', 'bigint', (column) => column.check(sql`charged_images >= 0`))
    .addColumn('resolution', 'text')
    .addColumn('account', 'text')
    .addColumn('sends', 'bigint', (column) => column.notNull().defaultTo(0))
    .addColumn('unsent_why', 'text')
    .addColumn('balance_before_anlas', 'bigint')
    .addColumn('balance_after_anlas', 'bigint')
    .addColumn('day', 'text', (column) => column.notNull())
    .addColumn('owner', 'text', (column) => column.notNull())
    .addColumn('reserved_at_ms', 'bigint', (column) => column.notNull())
    .addColumn('sent_at_ms', 'bigint')
    .addColumn('ended_at_ms', 'bigint')
    // Every attempt that is over has exactly one outcome, and none before.
    .addCheckConstraint('attempts_outcome', sql`(outcome is null) = (state in ('reserved', 'sent'))`)
    .addCheckConstraint('attempts_charge', sql`(charged_anlas is null) = (state in ('reserved', 'sent', 'held'))`)
    .execute();
  await db.schema.createIndex('attempts_by_time').on('attempts').column('reserved_at_ms').execute();
  // Those whose charge is not known: few at any time, looked for at each start and each reading of a balance. SQLite uses it only
  // where a query says `charged_anlas is null` in so many words.
  await sql`create index attempts_uncharged on attempts (account) where charged_anlas is null`.execute(db);
  await forbid(db, engine, 'attempts', ['delete']);
}

async function createBooks(db: Kysely<unknown>): Promise<void> {
  const amount = ['granted', 'available', 'reserved', 'held', 'settled'] as const;
  let table = db.schema
    .createTable('books')
    .addColumn('client_id', 'text', (column) => column.notNull())
    .addColumn('budget', 'text', (column) => column.notNull())
    .addColumn('period', 'text', (column) => column.notNull())
    .addColumn('limit_amount', 'bigint');
  for (const name of amount)
    table = table.addColumn(name, 'bigint', (column) => column.notNull().check(sql`${sql.ref(name)} >= 0`));
  await table
    .addPrimaryKeyConstraint('books_key', ['client_id', 'period', 'budget'])
    // The invariant of the whole room; a fault in the code is refused by the database itself.
    .addCheckConstraint('books_balance', sql`granted = available + reserved + held + settled`)
    .execute();
}

async function createPostings(db: Kysely<unknown>, engine: Engine): Promise<void> {
  await withSequence(db.schema.createTable('postings'), engine)
    .addColumn('at_ms', 'bigint', (column) => column.notNull())
    .addColumn('attempt_id', 'text')
    .addColumn('client_id', 'text', (column) => column.notNull())
    .addColumn('budget', 'text', (column) => column.notNull())
    .addColumn('period', 'text', (column) => column.notNull())
    .addColumn('from_bucket', 'text', (column) => column.notNull())
    .addColumn('to_bucket', 'text', (column) => column.notNull())
    .addColumn('amount', 'bigint', (column) => column.notNull().check(sql`amount > 0`))
    .execute();
  await forbid(db, engine, 'postings', ['update', 'delete']);
}

async function createAccountTables(db: Kysely<unknown>, engine: Engine): Promise<void> {
  await db.schema
    .createTable('account_balances')
    .addColumn('account', 'text', (column) => column.primaryKey())
    .addColumn('fixed_anlas', 'bigint', (column) => column.notNull())
    .addColumn('purchased_anlas', 'bigint', (column) => column.notNull())
    .addColumn('spent_since_anlas', 'bigint', (column) => column.notNull())
    .addColumn('read_at_ms', 'bigint', (column) => column.notNull())
    .execute();
  await withSequence(db.schema.createTable('balance_drifts'), engine)
    .addColumn('at_ms', 'bigint', (column) => column.notNull())
    .addColumn('account', 'text', (column) => column.notNull())
    .addColumn('expected_anlas', 'bigint', (column) => column.notNull())
    .addColumn('actual_anlas', 'bigint', (column) => column.notNull())
    .addColumn('drift_anlas', 'bigint', (column) => column.notNull())
    .addColumn('why', 'text', (column) => column.notNull())
    .execute();
  await forbid(db, engine, 'balance_drifts', ['update', 'delete']);
}

/** "Ledger rows are never dropped" (design I5), kept by the database itself. */
async function forbid(
  db: Kysely<unknown>,
  engine: Engine,
  table: string,
  verbs: ('update' | 'delete')[],
): Promise<void> {
  const message = `rows of ${table} are never changed or deleted this way`;
  if (engine === 'postgres')
    await sql`create or replace function refuse_change() returns trigger language plpgsql as
      $$ begin raise exception 'rows of % are never changed or deleted this way', tg_table_name; end $$`.execute(db);
  for (const verb of verbs) {
    const head = sql`create trigger ${sql.ref(`${table}_no_${verb}`)} before ${sql.raw(verb)} on ${sql.table(table)}`;
    await (
      engine === 'sqlite'
        ? sql`${head} begin select raise(abort, ${sql.lit(message)}); end`
        : sql`${head} for each row execute function refuse_change()`
    ).execute(db);
  }
}
