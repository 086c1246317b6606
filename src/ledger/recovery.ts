// Ends what a process that died has left open.
import type { Store } from '../store/store.ts';
import type { AttemptRow } from './attempt.ts';
import { findAttempts, heldAttempts } from './attempts.ts';
import { holdAttempt, releaseReserved } from './endings.ts';

/** Attempts per transaction. */
const BATCH = 100;

export interface Recovery {
  /** How many reservations were released: they had never been sent. */
  released: number;
  /** What had been sent without an end: now `held`, or released where its price was 0. */
  cutOff: readonly AttemptRow[];
  /**
   * When each account was last sent something to each endpoint that NovelAI may not have finished, and what it was: until that
   * is surely over, the account must rest (design section 13). Covers {@link cutOff} and what was held before. By endpoint, since
   * pictures and text run beside each other: a text sent last says nothing of a picture sent before.
   */
  lastSent: readonly AttemptRow[];
}

export interface RecoveryOptions {
  /** Instances that are alive; their attempts are left alone. */
  liveOwners: readonly string[];
  nowMs: () => number;
}

/** @throws {StoreUnavailableError} when the database cannot be written; to be called again, as what was done stays done. */
export async function recoverAttempts(store: Store, { liveOwners, nowMs }: RecoveryOptions): Promise<Recovery> {
  let released = 0;
  const cutOff: AttemptRow[] = [];
  for (;;) {
    const batch = await store.write(async (tx) => {
      const ending = { tx, store, atMs: nowMs() };
      const open = await tx
        .selectFrom('attempts')
        .select(['id', 'state', 'client_id'])
        .where('charged_anlas', 'is', null)
        .where('state', 'in', ['reserved', 'sent'])
        .where('owner', 'not in', liveOwners)
        .orderBy('client_id')
        .limit(BATCH)
        .execute();
      const ended: { id: string; wasSent: boolean }[] = [];
      for (const { id, state } of open) {
        const wasSent = state === 'sent';
        await (wasSent ? holdAttempt(ending, id) : releaseReserved(ending, id));
        ended.push({ id, wasSent });
      }
      const cutOffIds = ended.filter(({ wasSent }) => wasSent).map(({ id }) => id);
      return { ended: ended.length, cutOff: await findAttempts(tx, cutOffIds) };
    });
    if (batch.ended === 0) break;
    released += batch.ended - batch.cutOff.length;
    cutOff.push(...batch.cutOff);
  }
  const held = await store.read((db) => heldAttempts(db));
  return { released, cutOff, lastSent: latestOfEachKind([...held, ...cutOff]) };
}

function latestOfEachKind(attempts: readonly AttemptRow[]): AttemptRow[] {
  const latest = new Map<string, AttemptRow>();
  for (const attempt of attempts) {
    const kind = `${attempt.account}/${attempt.endpoint}`;
    const known = latest.get(kind);
    if (!known || (known.sent_at_ms ?? 0) < (attempt.sent_at_ms ?? 0)) latest.set(kind, attempt);
  }
  return [...latest.values()];
}
