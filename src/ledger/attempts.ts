// The attempts table: one row for each admitted request, which goes from state to state and is never deleted.
import { sql, type Insertable, type UpdateObject } from 'kysely';
import { prepareQuery } from '../store/prepared-query.ts';
import type { AttemptsTable, Schema } from '../store/schema.ts';
import type { Queries } from '../store/store.ts';
import type { AttemptRow, AttemptState, RequestToReserve } from './attempt.ts';
import { LedgerError } from './ledger-error.ts';

/** What the rules need to know of an attempt that goes from one state to another. */
export const MOVED_COLUMNS = [
  'id',
  'client_id',
  'day',
  'account',
  'state',
  'outcome',
  'quoted_anlas',
  'images',
  'charged_anlas',
  'charged_images',
] as const;

export type MovedAttempt = Pick<AttemptRow, (typeof MOVED_COLUMNS)[number]>;

export interface NewAttempt {
  request: RequestToReserve;
  day: string;
  owner: string;
  atMs: number;
}

const insertQuery = prepareQuery((db, row: Insertable<AttemptsTable>) =>
  db
    .insertInto('attempts')
    .values({
      id: row.id,
      client_id: row.client_id,
      client_name: row.client_name,
      endpoint: row.endpoint,
      model: row.model,
      action: row.action,
      width: row.width,
      height: row.height,
      steps: row.steps,
      samples: row.samples,
      state: row.state,
      quoted_anlas: row.quoted_anlas,
      images: row.images,
      sends: row.sends,
      day: row.day,
      owner: row.owner,
      reserved_at_ms: row.reserved_at_ms,
    })
    .onConflict((conflict) => conflict.column('id').doNothing())
    .returning('seq'),
);

/** @throws {LedgerError} when the request was reserved before. */
export async function insertAttempt(tx: Queries, { request, day, owner, atMs }: NewAttempt): Promise<void> {
  const inserted = await insertQuery(tx, {
    id: request.requestId,
    client_id: request.clientId,
    client_name: request.clientName,
    endpoint: request.endpoint,
    model: request.model ?? null,
    action: request.action ?? null,
    width: request.width ?? null,
    height: request.height ?? null,
    steps: request.steps ?? null,
    samples: request.samples ?? null,
    state: 'reserved',
    quoted_anlas: request.costAnlas,
    images: request.images,
    sends: 0,
    day,
    owner,
    reserved_at_ms: atMs,
  });
  if (inserted.length === 0) throw new LedgerError(`The request ${request.requestId} was reserved before.`);
}

/** Takes an attempt from one of the states `from` to another, and gives it as it is now; undefined when it is in none of them. */
export async function moveAttempt(
  tx: Queries,
  id: string,
  from: readonly AttemptState[],
  change: UpdateObject<Schema, 'attempts'>,
): Promise<MovedAttempt | undefined> {
  return tx
    .updateTable('attempts')
    .set(change)
    .where('id', '=', id)
    .where('state', 'in', from)
    .returning(MOVED_COLUMNS)
    .executeTakeFirst();
}

export function findAttempt(db: Queries, id: string): Promise<AttemptRow | undefined> {
  return db.selectFrom('attempts').selectAll().where('id', '=', id).executeTakeFirst();
}

export async function findAttempts(db: Queries, ids: readonly string[]): Promise<AttemptRow[]> {
  return ids.length === 0 ? [] : db.selectFrom('attempts').selectAll().where('id', 'in', ids).execute();
}

/** Gives the attempts whose charge is not known yet, oldest first; of one account, or of all. */
export function heldAttempts(db: Queries, account?: string): Promise<AttemptRow[]> {
  let query = db.selectFrom('attempts').selectAll().where('charged_anlas', 'is', null).where('state', '=', 'held');
  if (account !== undefined) query = query.where('account', '=', account);
  return query.orderBy('sent_at_ms').orderBy('seq').execute();
}

/** Gives the latest time that the ledger has written down, Unix milliseconds; 0 for none. */
export async function greatestTimeMs(db: Queries): Promise<number> {
  const { rows } = await sql<{ at_ms: number | null }>`
    select max(at_ms) as at_ms from (
      select max(reserved_at_ms) as at_ms from attempts
      union all select max(sent_at_ms) from attempts where charged_anlas is null
      union all select at_ms from postings where seq = (select max(seq) from postings)
    ) as times`.execute(db);
  return rows[0]?.at_ms ?? 0;
}
