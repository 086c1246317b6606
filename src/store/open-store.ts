// Opens the database that DATABASE_URL names.
import { join } from 'node:path';
import { openSqliteStore, type SqliteStoreOptions } from './sqlite-store.ts';
import type { Store } from './store.ts';
import { StoreOpenError } from './store-error.ts';

export interface OpenStoreOptions {
  /** `sqlite:PATH` or `postgres://…`; undefined for `proxy.db` in the data folder. */
  databaseUrl?: string | undefined;
  dataDir: string;
  /** See {@link SqliteStoreOptions}; PostgreSQL serves any number of both. */
  role?: SqliteStoreOptions['role'];
}

/**
 * Opens the database and brings its tables up to date.
 * @throws {StoreOpenError} with one sentence that says what stands in the way, such as another service on the same file.
 */
export async function openStore({ databaseUrl, dataDir, role = 'service' }: OpenStoreOptions): Promise<Store> {
  const url = databaseUrl ?? `sqlite:${join(dataDir, 'proxy.db')}`;
  if (/^postgres(?:ql)?:\/\//.test(url)) {
    // Most have none, and need not load its driver.
    const { openPostgresStore } = await import('./postgres-store.ts');
    return openPostgresStore(url);
  }
  const path = /^sqlite:(?!:)(.+)$/s.exec(url)?.[1];
  if (path !== undefined) return openSqliteStore({ path, role });
  throw new StoreOpenError('DATABASE_URL: expected sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE.');
}
