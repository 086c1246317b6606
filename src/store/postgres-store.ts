// The database for several instances: PostgreSQL, through a pool of connections.
import { Kysely, PostgresDialect, sql } from 'kysely';
import { Pool, types } from 'pg';
import { migrate } from './migrate.ts';
import type { Schema } from './schema.ts';
import type { Queries, Store } from './store.ts';
import { asStoreError, StoreOpenError, StoreUnavailableError } from './store-error.ts';

const MAX_CONNECTIONS = 10;
const CONNECT_TIMEOUT_MS = 5000;
const STATEMENT_TIMEOUT_MS = 30_000;
/** How often a transaction that lost against another one is run again. */
const MAX_TRIES = 5;
/** Serialization failure and deadlock: the transaction was rolled back and may be run again (PostgreSQL manual, 13.5). */
const CONFLICT_CODES = new Set(['40001', '40P01']);

type ParserFor = (typeId: number, format?: 'text' | 'binary') => (text: string) => unknown;

/** bigint and numeric, by their numbers in PostgreSQL's catalogue. */
const NUMBER_TYPE_IDS = new Set([20, 1700]);

/** Every amount and time here fits into a JavaScript number; pg would give big ones as text. */
const parserFor: ParserFor = (typeId, format) =>
  NUMBER_TYPE_IDS.has(typeId) && format !== 'binary' ? Number : (types.getTypeParser as ParserFor)(typeId, format);

/**
 * Connects, and brings the tables up to date.
 * @throws {StoreOpenError} with one sentence, without the password, when the server cannot be reached or used.
 */
export async function openPostgresStore(url: string): Promise<Store> {
  const pool = new Pool({
    connectionString: url,
    max: MAX_CONNECTIONS,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    application_name: 'novelai-proxy',
    types: { getTypeParser: parserFor },
  });
  // A connection that breaks is reported by the query that used it, and replaced; without these listeners it would end the
  // process, whether it was in use (first) or not (second).
  pool.on('connect', (client) => client.on('error', () => undefined));
  pool.on('error', () => undefined);
  const db = new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) });
  try {
    await sql`select 1`.execute(db);
    await migrate(db, 'postgres');
    return new PostgresStore(db);
  } catch (cause) {
    await db.destroy();
    if (cause instanceof StoreOpenError) throw cause;
    const { host } = URL.canParse(url) ? new URL(url) : { host: '' };
    const detail = cause instanceof Error ? cause.message : String(cause);
    throw new StoreOpenError(
      `The PostgreSQL server ${host === '' ? 'of DATABASE_URL' : host} cannot be used: ${detail}`,
      cause,
    );
  }
}

class PostgresStore implements Store {
  readonly engine = 'postgres';
  readonly #db: Kysely<Schema>;
  readonly #running = new Set<Promise<unknown>>();
  #isClosed = false;

  constructor(db: Kysely<Schema>) {
    this.#db = db;
  }

  read<T>(work: (db: Queries) => Promise<T>): Promise<T> {
    return this.#run(async () => {
      try {
        return await this.#db
          .transaction()
          .setIsolationLevel('repeatable read')
          .setAccessMode('read only')
          .execute(work);
      } catch (error) {
        throw asStoreError(error);
      }
    });
  }

  /** The server groups the commits of its connections by itself. */
  write<T>(work: (tx: Queries) => Promise<T>): Promise<T> {
    return this.#run(async () => {
      for (let tries = 1; ; tries += 1)
        try {
          return await this.#transact(work);
        } catch (error) {
          if (tries === MAX_TRIES || !isConflict(error)) throw asStoreError(error);
        }
    });
  }

  async #run<T>(action: () => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new StoreUnavailableError('closed');
    const run = action();
    this.#running.add(run);
    try {
      return await run;
    } finally {
      this.#running.delete(run);
    }
  }

  async #transact<T>(work: (tx: Queries) => Promise<T>): Promise<T> {
    let isCommitting = false;
    try {
      return await this.#db.transaction().execute(async (tx) => {
        const value = await work(tx);
        isCommitting = true;
        return value;
      });
    } catch (error) {
      // Whether the server had committed before the connection broke is not known here.
      throw isConflict(error) ? error : asStoreError(error, { isInDoubt: isCommitting });
    }
  }

  async lock(tx: Queries, key: string): Promise<void> {
    await sql`select pg_advisory_xact_lock(hashtextextended(${key}, 0))`.execute(tx);
  }

  async backup(): Promise<void> {
    throw new Error('The database is PostgreSQL: make backups with pg_dump.');
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    // What was begun still needs its connection.
    await Promise.allSettled(this.#running);
    await this.#db.destroy();
  }
}

function isConflict(error: unknown): boolean {
  return error instanceof Error && 'code' in error && CONFLICT_CODES.has(String(error.code));
}
