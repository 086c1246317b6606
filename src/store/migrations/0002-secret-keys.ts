// Which key sealed the credentials, so that a wrong one is noticed before anything is read or written with it.
import type { SchemaChange } from './schema-change.ts';

export const secretKeysTable: SchemaChange = async (db) => {
  await db.schema
    .createTable('secret_keys')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('salt', 'text', (column) => column.notNull())
    .addColumn('check_value', 'text', (column) => column.notNull())
    .addColumn('is_current', 'integer', (column) => column.notNull())
    .addColumn('created_at_ms', 'bigint', (column) => column.notNull())
    .execute();
};
