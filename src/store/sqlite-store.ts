// The default database: one SQLite file, in this process.
import { closeSync, existsSync, mkdirSync, openSync, realpathSync, renameSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { backup, DatabaseSync } from 'node:sqlite';
import { Kysely } from 'kysely';
import { GroupCommit } from './group-commit.ts';
import { migrate, needsMigration } from './migrate.ts';
import { nodeSqliteDialect } from './node-sqlite-dialect.ts';
import { lockForThisProcess } from './process-lock.ts';
import type { Schema } from './schema.ts';
import type { Queries, Store, WriteOptions } from './store.ts';
import { asStoreError, faultOf, StoreOpenError, StoreUnavailableError } from './store-error.ts';
import { WalSync, type SyncFile } from './wal-sync.ts';

/** How long a statement may wait for a tool (backup, report) that writes at the same moment. It blocks the event loop. */
const BUSY_TIMEOUT_MS = 1000;
/** More pages than any database has: the copy is made of one consistent state, in one go. */
const ALL_PAGES = 2 ** 31 - 1;

export interface SqliteStoreOptions {
  path: string;
  /**
   * `service` keeps the file to itself until it closes. `tool` works beside a running service: for the command line's
   * reports, backups and changes of clients; it brings the tables up to date only when no service runs.
   */
  role: 'service' | 'tool';
  /** For tests of what happens when the disk fails. */
  syncFile?: SyncFile | undefined;
}

/**
 * Opens, makes or updates the file.
 * @throws {StoreOpenError} with one sentence that says what stands in the way.
 */
export async function openSqliteStore({ path, role, syncFile }: SqliteStoreOptions): Promise<Store> {
  const databasePath = prepareFile(path);
  let unlock = role === 'service' ? lockForThisProcess(databasePath) : undefined;
  let database: DatabaseSync | undefined;
  try {
    database = openDatabase(databasePath);
    const db = new Kysely<Schema>({ dialect: nodeSqliteDialect(database) });
    const isOutdated = await needsMigration(db, 'sqlite');
    if (isOutdated && role === 'tool') unlock = lockForThisProcess(databasePath);
    // Also when nothing is missing: it is what notices tables of a newer version.
    await migrate(db, 'sqlite');
    if (role === 'tool') unlock?.();
    // From here on WalSync does what FULL did, off the event loop.
    database.exec('pragma synchronous = normal');
    // Each change of an attempt opens a table of its own for a moment: as a file (never written), with 87 KB of room at once, that
    // is 4 to 7 % of a request's CPU time. A tool's reports may sort a million rows: on the disk.
    if (role === 'service') database.exec('pragma temp_store = memory');
    return new SqliteStore({ database, db, databasePath, unlock, syncFile });
  } catch (cause) {
    if (database?.isOpen) database.close();
    unlock?.();
    throw openError(databasePath, cause);
  }
}

/** Gives the file's real path, so that one database reached by two names has one lock. Makes it when it is not there. */
function prepareFile(path: string): string {
  const folder = dirname(resolve(path));
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const named = join(realpathSync(folder), basename(path));
    // It will hold credentials, if sealed ones. SQLite gives its side files the same rights.
    if (!existsSync(named)) closeSync(openSync(named, 'a', 0o600));
    return realpathSync(named);
  } catch (cause) {
    throw new StoreOpenError(
      `The database file ${path} cannot be made; mend the rights of its folder, or set DATABASE_URL to another place.`,
      cause,
    );
  }
}

function openDatabase(path: string): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS, enableForeignKeyConstraints: true });
  try {
    database.exec('pragma journal_mode = wal; pragma synchronous = full; pragma journal_size_limit = 16777216');
    // A file which can only be read is noticed now, not at the first request.
    database.exec('begin immediate; rollback');
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function openError(path: string, cause: unknown): unknown {
  if (cause instanceof StoreOpenError) return cause;
  const fault = faultOf(cause);
  const reasons: Partial<Record<string, string>> = {
    read_only: 'can only be read; mend its rights',
    disk_full: 'cannot be written, as its disk is full; make room',
    corrupt: 'is damaged or is no SQLite database; restore a backup, or set DATABASE_URL to another file',
    busy: 'is held by another program; close that first',
    io: 'cannot be written, or the files beside it cannot; mend the rights of the file and its folder',
  };
  const detail = cause instanceof Error ? ` (${cause.message})` : '';
  return new StoreOpenError(
    `The database ${path} ${reasons[fault ?? ''] ?? 'cannot be opened'}.${fault === undefined ? detail : ''}`,
    cause,
  );
}

interface Parts {
  database: DatabaseSync;
  db: Kysely<Schema>;
  databasePath: string;
  unlock: (() => void) | undefined;
  syncFile: SyncFile | undefined;
}

class SqliteStore implements Store {
  readonly engine = 'sqlite';
  readonly #parts: Parts;
  readonly #walSync: WalSync;
  readonly #groupCommit: GroupCommit;
  #isClosed = false;

  constructor(parts: Parts) {
    this.#parts = parts;
    const { database, db, databasePath, syncFile } = parts;
    this.#walSync = new WalSync({ databasePath, checkpoint: () => checkpoint(database), syncFile });
    this.#groupCommit = new GroupCommit({ database, db, flush: () => this.#walSync.flush() });
  }

  async read<T>(work: (db: Queries) => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new StoreUnavailableError('closed');
    const { database, db } = this.#parts;
    try {
      return await db.connection().execute(async (connection) => {
        database.exec('pragma query_only = on');
        try {
          return await readOneState(database, () => work(connection));
        } finally {
          database.exec('pragma query_only = off');
        }
      });
    } catch (error) {
      throw asStoreError(error);
    }
  }

  write<T>(work: (tx: Queries) => Promise<T>, options?: WriteOptions): Promise<T> {
    return this.#groupCommit.add(work, options);
  }

  /** Transactions of one SQLite file run one after the other anyway. */
  async lock(): Promise<void> {}

  /** Through a connection of its own, which sees one consistent state and holds nobody up; whole or not at all. */
  async backup(path: string): Promise<void> {
    if (this.#isClosed) throw new StoreUnavailableError('closed');
    const target = resolve(path);
    const partial = `${target}.partial`;
    const source = new DatabaseSync(this.#parts.databasePath, { readOnly: true, timeout: BUSY_TIMEOUT_MS });
    try {
      mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
      rmSync(partial, { force: true });
      closeSync(openSync(partial, 'wx', 0o600));
      await backup(source, partial, { rate: ALL_PAGES });
      await using file = await open(partial, 'r+');
      await file.sync();
      renameSync(partial, target);
    } catch (cause) {
      rmSync(partial, { force: true });
      const detail = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`The backup ${target} could not be written: ${detail}`, { cause });
    } finally {
      source.close();
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const { database, db, unlock } = this.#parts;
    await this.#groupCommit.close();
    await db.destroy();
    this.#walSync.close();
    // The last connection copies the log into the database and brings it to the disk.
    database.close();
    unlock?.();
  }
}

async function readOneState<T>(database: DatabaseSync, work: () => Promise<T>): Promise<T> {
  database.exec('begin');
  try {
    return await work();
  } finally {
    if (database.isTransaction) database.exec('rollback');
  }
}

function checkpoint(database: DatabaseSync): void {
  const row = database.prepare('pragma wal_checkpoint(truncate)').get();
  if (row?.['busy'] !== 0) throw new StoreUnavailableError('busy');
}
