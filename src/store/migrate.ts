// Brings the tables of a database to the form this version of the service needs.
import type { Kysely } from 'kysely';
import { Migrator, type Migration } from 'kysely/migration';
import { ledgerTables } from './migrations/0001-ledger.ts';
import { secretKeysTable } from './migrations/0002-secret-keys.ts';
import { clientsAndAccountsTables } from './migrations/0003-clients-and-accounts.ts';
import { bankTable } from './migrations/0004-bank.ts';
import { clientLoginsAndWaits } from './migrations/0005-client-logins-and-waits.ts';
import type { Engine, SchemaChange } from './migrations/schema-change.ts';
import type { Schema } from './schema.ts';
import { asStoreError, StoreOpenError, StoreUnavailableError } from './store-error.ts';

/** In order, forward only. A step that was released is never changed: a new one is added at the end. */
const STEPS: Readonly<Record<string, SchemaChange>> = {
  '0001-ledger': ledgerTables,
  '0002-secret-keys': secretKeysTable,
  '0003-clients-and-accounts': clientsAndAccountsTables,
  '0004-bank': bankTable,
  '0005-client-logins-and-waits': clientLoginsAndWaits,
};

/** Whether the tables are older than this version needs. */
export async function needsMigration(db: Kysely<Schema>, engine: Engine): Promise<boolean> {
  const migrations = await migratorFor(db, engine).getMigrations();
  return migrations.some(({ executedAt }) => executedAt === undefined);
}

/**
 * Runs the steps that are missing, all of them in one transaction. Several instances may do so at once.
 * @throws {StoreOpenError} when a newer version of the service has changed the tables, or a step fails; then nothing is changed.
 * @throws {StoreUnavailableError} when the database cannot do it now.
 */
export async function migrate(db: Kysely<Schema>, engine: Engine): Promise<void> {
  const { error } = await migratorFor(db, engine).migrateToLatest();
  if (error === undefined) return;
  const mapped = asStoreError(error);
  if (mapped instanceof StoreUnavailableError) throw mapped;
  const message = error instanceof Error ? error.message : 'no reason given';
  throw new StoreOpenError(
    /previously executed migration .* is missing/.test(message)
      ? 'The database was written by a newer version of this service; start that version, or restore a backup made before.'
      : `The tables of the database could not be brought up to date, and were left as they were: ${message}`,
    error,
  );
}

function migratorFor(db: Kysely<Schema>, engine: Engine): Migrator {
  const migrations = Object.entries(STEPS).map(([name, change]): [string, Migration] => [
    name,
    { up: (queries: Kysely<unknown>) => change(queries, engine) },
  ]);
  return new Migrator({ db, provider: { getMigrations: async () => Object.fromEntries(migrations) } });
}
