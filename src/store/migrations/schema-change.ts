// The form of one step in the tables' history.
import type { Kysely } from 'kysely';

export type Engine = 'sqlite' | 'postgres';

/** Changes the tables in one transaction, forward only; queries are untyped, since the tables are of their own time. */
export type SchemaChange = (db: Kysely<unknown>, engine: Engine) => Promise<void>;
