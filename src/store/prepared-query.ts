// Builds a query once and runs it many times: putting one together costs more than SQLite takes to run it.
import type { Compilable, CompiledQuery } from 'kysely';
import { NodeSqliteAdapter } from './node-sqlite-dialect.ts';
import type { Queries } from './store.ts';

/** Stands for a value that is given at each run. */
class Slot {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

/**
 * Runs the query with the values for its slots, on a transaction or a connection that the caller holds: on SQLite it runs at
 * once, whoever else may be at the database.
 */
export type PreparedQuery<Values, Row> = (db: Queries, values: Values) => Promise<Row[]>;

/**
 * Gives a query that is built the first time it is run on each engine. Inside `build`, each member of `slots` may be used
 * wherever the query takes one value, as if it were that value; it must not be looked at or computed with.
 */
export function prepareQuery<Values extends object, Row>(
  build: (db: Queries, slots: Values) => Compilable<Row>,
): PreparedQuery<Values, Row> {
  const slots = new Proxy<Record<string, unknown>>({}, { get: (_, name) => new Slot(String(name)) }) as Values;
  // One adapter for each database that was opened.
  const compiled = new WeakMap<object, CompiledQuery<Row>>();
  return async (db, values) => {
    const { adapter } = db.getExecutor();
    let query = compiled.get(adapter);
    if (!query) {
      query = build(db, slots).compile();
      compiled.set(adapter, query);
    }
    const parameters = query.parameters.map((parameter) =>
      parameter instanceof Slot ? (values as Record<string, unknown>)[parameter.name] : parameter,
    );
    const filled: CompiledQuery<Row> = { ...query, parameters };
    if (adapter instanceof NodeSqliteAdapter) return adapter.runNow(filled);
    const { rows } = await db.executeQuery<Row>(filled);
    return rows;
  };
}

/** Like {@link prepareQuery}, for statements that take any number of rows: built once for each number. */
export function prepareRowsQuery<Row extends object>(
  build: (db: Queries, rows: Row[]) => Compilable,
): (db: Queries, rows: readonly Row[]) => Promise<void> {
  const byCount = new Map<number, PreparedQuery<Record<string, unknown>, unknown>>();
  return async (db, rows) => {
    if (rows.length === 0) return;
    const columns = Object.keys(rows[0] ?? {});
    let query = byCount.get(rows.length);
    if (!query) {
      query = prepareQuery((db, slots: Record<string, unknown>) =>
        build(
          db,
          rows.map((_, index) => Object.fromEntries(columns.map((name) => [name, slots[`${index} ${name}`]])) as Row),
        ),
      );
      byCount.set(rows.length, query);
    }
    const values: Record<string, unknown> = {};
    for (const [index, row] of rows.entries())
      for (const [name, value] of Object.entries(row)) values[`${index} ${name}`] = value;
    await query(db, values);
  };
}
