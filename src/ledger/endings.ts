// The ends an attempt can come to, each as one step inside a transaction: its state, its client's books and its account's Anlas.
import { sql } from 'kysely';
import { prepareQuery } from '../store/prepared-query.ts';
import type { Queries, Store } from '../store/store.ts';
import { addSpending } from './account-balances.ts';
import type { FreeOutcome, Settlement } from './attempt.ts';
import { moveAttempt, MOVED_COLUMNS, type MovedAttempt } from './attempts.ts';
import { ClientBooks } from './client-books.ts';

/**
 * The transaction an end is written in, and the time that is written down. Whoever locks an account and clients in one does it in
 * this order, so that no two transactions wait for each other.
 */
export interface Ending {
  tx: Queries;
  store: Store;
  atMs: number;
}

const settleQuery = prepareQuery(
  (db, slots: { id: string; outcome: string; chargedAnlas: number; images: number | null; atMs: number }) =>
    db
      .updateTable('attempts')
      .set((eb) => ({
        state: eb.val('settled' as const),
        outcome: slots.outcome,
        charged_anlas: slots.chargedAnlas,
        charged_images: eb.fn.coalesce(eb.cast<number | null>(eb.val(slots.images), 'bigint'), 'images'),
        balance_after_anlas: eb('balance_before_anlas', '-', slots.chargedAnlas),
        ended_at_ms: slots.atMs,
      }))
      .where('id', '=', slots.id)
      .where('state', '=', 'sent')
      .returning(MOVED_COLUMNS),
);

/** Ends a sent attempt with its charge; undefined, and nothing done, when it is in another state. */
export async function settleAttempt(
  ending: Ending,
  attemptId: string,
  { outcome, chargedAnlas, images }: Settlement,
): Promise<MovedAttempt | undefined> {
  const { tx, store, atMs } = ending;
  const [attempt] = await settleQuery(tx, {
    id: attemptId,
    outcome,
    chargedAnlas,
    images: images ?? (outcome === 'succeeded' ? null : 0),
    atMs,
  });
  if (!attempt) return undefined;
  await addSpending(tx, store, attempt.account, chargedAnlas);
  await moveMoney(ending, attempt, 'reserved');
  return attempt;
}

/** What an attempt becomes that cost nothing. */
function releasedAs(outcome: string, atMs: number) {
  return { state: 'released', outcome, charged_anlas: 0, charged_images: 0, ended_at_ms: atMs } as const;
}

const releaseQuery = prepareQuery((db, slots: { id: string; outcome: string; atMs: number }) =>
  db
    .updateTable('attempts')
    .set(releasedAs(slots.outcome, slots.atMs))
    .where('id', '=', slots.id)
    .where('state', 'in', ['reserved', 'sent'])
    .returning(MOVED_COLUMNS),
);

/** Ends an attempt at no cost, sent or not; undefined, and nothing done, when it has ended already. */
export async function releaseAttempt(
  ending: Ending,
  attemptId: string,
  outcome: FreeOutcome,
): Promise<MovedAttempt | undefined> {
  const [attempt] = await releaseQuery(ending.tx, { id: attemptId, outcome, atMs: ending.atMs });
  if (attempt) await moveMoney(ending, attempt, 'reserved');
  return attempt;
}

/** Ends an attempt that was never sent; undefined, and nothing done, when it was, or has ended, or is not there. */
export async function releaseReserved(ending: Ending, attemptId: string): Promise<MovedAttempt | undefined> {
  const change = releasedAs('failed_gateway', ending.atMs);
  const attempt = await moveAttempt(ending.tx, attemptId, ['reserved'], change);
  if (attempt) await moveMoney(ending, attempt, 'reserved');
  return attempt;
}

/**
 * Ends a sent attempt whose charge is not known: a paid one is held, a free one released, since its charge is known after all.
 * Undefined, and nothing done, when it is in another state.
 */
export async function holdAttempt(ending: Ending, attemptId: string): Promise<MovedAttempt | undefined> {
  const attempt = await moveAttempt(ending.tx, attemptId, ['sent'], {
    state: sql<'held' | 'released'>`case when quoted_anlas = 0 then 'released' else 'held' end`,
    outcome: 'unknown',
    charged_anlas: sql<number | null>`case when quoted_anlas = 0 then 0 end`,
    charged_images: sql<number | null>`case when quoted_anlas = 0 then 0 end`,
    ended_at_ms: ending.atMs,
  });
  if (!attempt) return undefined;
  if (attempt.state === 'released') await moveMoney(ending, attempt, 'reserved');
  else {
    const books = await openBooks(ending, attempt, { anlas: attempt.quoted_anlas, images: attempt.images });
    const reserved = { anlas: attempt.quoted_anlas, images: attempt.images };
    books.each((book, amountOf) => book.pass('reserved', 'held', amountOf(reserved)));
    await books.save(ending.tx, { attemptId, atMs: ending.atMs });
  }
  return attempt;
}

export interface Finding {
  chargedAnlas: number;
  resolution: 'proved' | 'attributed' | 'by_hand';
  balanceAfterAnlas?: number | undefined;
}

/** Ends the uncertainty about a held attempt. The account's Anlas are the caller's to reckon. */
export async function resolveAttempt(
  ending: Ending,
  attemptId: string,
  { chargedAnlas, resolution, balanceAfterAnlas }: Finding,
): Promise<MovedAttempt | undefined> {
  const attempt = await moveAttempt(ending.tx, attemptId, ['held'], {
    state: chargedAnlas > 0 ? 'settled' : 'released',
    charged_anlas: chargedAnlas,
    charged_images: 0,
    resolution,
    ...(balanceAfterAnlas === undefined ? {} : { balance_after_anlas: balanceAfterAnlas }),
  });
  if (attempt) await moveMoney(ending, attempt, 'held');
  return attempt;
}

/** Settles what an ended attempt was charged, and makes the rest of what it had used up available again. */
async function moveMoney(ending: Ending, attempt: MovedAttempt, from: 'reserved' | 'held'): Promise<void> {
  const quoted = { anlas: attempt.quoted_anlas, images: attempt.images };
  const charged = { anlas: attempt.charged_anlas ?? 0, images: attempt.charged_images ?? 0 };
  const books = await openBooks(ending, attempt, {
    anlas: Math.max(quoted.anlas, charged.anlas),
    images: Math.max(quoted.images, charged.images),
  });
  books.each((book, amountOf) => book.settle(from, amountOf(quoted), amountOf(charged)));
  await books.save(ending.tx, { attemptId: attempt.id, atMs: ending.atMs });
}

function openBooks({ tx, store }: Ending, attempt: MovedAttempt, concerns: { anlas: number; images: number }) {
  return ClientBooks.open(tx, store, { clientId: attempt.client_id, day: attempt.day }, concerns);
}
