// The ends an attempt can come to, each as one step inside a transaction: its state, its client's books and its account's Anlas.
import { sql } from 'kysely';
import type { Queries, Store } from '../store/store.ts';
import { addSpending } from './account-balances.ts';
import type { AttemptRow, AttemptState, FreeOutcome, Settlement } from './attempt.ts';
import { moveAttempt } from './attempts.ts';
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

/** Ends a sent attempt with its charge; undefined, and nothing done, when it is in another state. */
export async function settleAttempt(
  ending: Ending,
  attemptId: string,
  { outcome, chargedAnlas, images }: Settlement,
): Promise<AttemptRow | undefined> {
  const { tx, store, atMs } = ending;
  const attempt = await moveAttempt(tx, attemptId, ['sent'], {
    state: 'settled',
    outcome,
    charged_anlas: chargedAnlas,
    charged_images: images ?? (outcome === 'succeeded' ? sql<number>`images` : 0),
    balance_after_anlas: sql<number | null>`balance_before_anlas - ${chargedAnlas}`,
    ended_at_ms: atMs,
  });
  if (!attempt) return undefined;
  await addSpending(tx, store, attempt.account, chargedAnlas);
  await moveMoney(ending, attempt, 'reserved');
  return attempt;
}

/** Ends an attempt at no cost; undefined, and nothing done, when it is in none of the states `from`. */
export async function releaseAttempt(
  ending: Ending,
  attemptId: string,
  outcome: FreeOutcome,
  from: readonly AttemptState[] = ['reserved', 'sent'],
): Promise<AttemptRow | undefined> {
  const attempt = await moveAttempt(ending.tx, attemptId, from, {
    state: 'released',
    outcome,
    charged_anlas: 0,
    charged_images: 0,
    ended_at_ms: ending.atMs,
  });
  if (attempt) await moveMoney(ending, attempt, 'reserved');
  return attempt;
}

/**
 * Ends a sent attempt whose charge is not known: a paid one is held, a free one released, since its charge is known after all.
 * Undefined, and nothing done, when it is in another state.
 */
export async function holdAttempt(ending: Ending, attemptId: string): Promise<AttemptRow | undefined> {
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
): Promise<AttemptRow | undefined> {
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
async function moveMoney(ending: Ending, attempt: AttemptRow, from: 'reserved' | 'held'): Promise<void> {
  const quoted = { anlas: attempt.quoted_anlas, images: attempt.images };
  const charged = { anlas: attempt.charged_anlas ?? 0, images: attempt.charged_images ?? 0 };
  const books = await openBooks(ending, attempt, {
    anlas: Math.max(quoted.anlas, charged.anlas),
    images: Math.max(quoted.images, charged.images),
  });
  books.each((book, amountOf) => book.settle(from, amountOf(quoted), amountOf(charged)));
  await books.save(ending.tx, { attemptId: attempt.id, atMs: ending.atMs });
}

function openBooks({ tx, store }: Ending, attempt: AttemptRow, concerns: { anlas: number; images: number }) {
  return ClientBooks.open(tx, store, { clientId: attempt.client_id, day: attempt.day }, concerns);
}
