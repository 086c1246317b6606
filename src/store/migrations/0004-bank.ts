// What the results store keeps, and which Idempotency-Keys were used.
import { sql } from 'kysely';
import type { SchemaChange } from './schema-change.ts';

export const bankTable: SchemaChange = async (db) => {
  await db.schema
    .createTable('bank_entries')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('client_id', 'text', (column) => column.notNull())
    .addColumn('idempotency_key', 'text')
    .addColumn('request_hash', 'text', (column) => column.notNull())
    .addColumn('state', 'text', (column) => column.notNull().check(sql`state in ('running', 'stored', 'lost')`))
    .addColumn('why', 'text')
    .addColumn('owner', 'text', (column) => column.notNull())
    .addColumn('head', 'text')
    .addColumn('content_hash', 'text')
    .addColumn('size_bytes', 'bigint')
    .addColumn('kept_at_ms', 'bigint')
    .addColumn('is_delivered', 'integer', (column) => column.notNull())
    .addColumn('created_at_ms', 'bigint', (column) => column.notNull())
    .addColumn('expires_at_ms', 'bigint', (column) => column.notNull())
    .addCheckConstraint(
      'bank_entries_content',
      sql`(state = 'stored') = (content_hash is not null and size_bytes is not null and head is not null)`,
    )
    .execute();
  await sql`create unique index bank_entries_by_key on bank_entries (client_id, idempotency_key)
    where idempotency_key is not null`.execute(db);
  await db.schema.createIndex('bank_entries_by_content').on('bank_entries').column('content_hash').execute();
  await db.schema.createIndex('bank_entries_by_expiry').on('bank_entries').column('expires_at_ms').execute();
};
