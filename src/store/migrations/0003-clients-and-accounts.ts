// Who may use the service, and whose subscriptions it uses, as far as both are kept in the database.
import { sql } from 'kysely';
import type { SchemaChange } from './schema-change.ts';

export const clientsAndAccountsTables: SchemaChange = async (db) => {
  await db.schema
    .createTable('clients')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('name', 'text', (column) => column.notNull().unique())
    .addColumn('token_digest', 'text', (column) => column.notNull().unique())
    .addColumn('created_at_ms', 'bigint', (column) => column.notNull())
    .addColumn('rotated_at_ms', 'bigint')
    .addColumn('revoked_at_ms', 'bigint')
    .addColumn('expires_at_ms', 'bigint')
    .addColumn('endpoints', 'text')
    .addColumn('dialects', 'text')
    .addColumn('weight', 'double precision', (column) => column.notNull().check(sql`weight > 0`))
    .addColumn('band', 'text', (column) => column.notNull().check(sql`band in ('interactive', 'batch')`))
    .addColumn('max_queued', 'bigint', (column) => column.check(sql`max_queued >= 0`))
    .addColumn('max_in_flight', 'bigint', (column) => column.check(sql`max_in_flight >= 1`))
    .addColumn('requests_per_minute', 'bigint', (column) => column.check(sql`requests_per_minute >= 1`))
    .addColumn('anlas_per_day', 'bigint', (column) => column.check(sql`anlas_per_day >= 0`))
    .addColumn('anlas_per_month', 'bigint', (column) => column.check(sql`anlas_per_month >= 0`))
    .addColumn('anlas_total', 'bigint', (column) => column.check(sql`anlas_total >= 0`))
    .addColumn('images_per_day', 'bigint', (column) => column.check(sql`images_per_day >= 0`))
    .addColumn('free_only', 'text', (column) => column.notNull().check(sql`free_only in ('off', 'reject', 'clamp')`))
    .execute();
  await db.schema
    .createTable('accounts')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('name', 'text', (column) => column.notNull().unique())
    .addColumn('credentials', 'text', (column) => column.notNull())
    .addColumn('concurrency', 'bigint', (column) => column.notNull().check(sql`concurrency between 1 and 16`))
    .addColumn('is_enabled', 'integer', (column) => column.notNull())
    .addColumn('created_at_ms', 'bigint', (column) => column.notNull())
    .execute();
  await db.schema
    .createTable('revisions')
    .addColumn('topic', 'text', (column) => column.primaryKey())
    .addColumn('revision', 'bigint', (column) => column.notNull())
    .execute();
};
