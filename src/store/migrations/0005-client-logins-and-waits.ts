// How long a client's requests may wait, and how it logs in where it knows nothing but logins.
import { sql } from 'kysely';
import type { SchemaChange } from './schema-change.ts';

export const clientLoginsAndWaits: SchemaChange = async (db) => {
  await db.schema
    .alterTable('clients')
    .addColumn('max_wait_ms', 'bigint', (column) => column.check(sql`max_wait_ms >= 1`))
    .execute();
  await db.schema.alterTable('clients').addColumn('login_digests', 'text').execute();
};
