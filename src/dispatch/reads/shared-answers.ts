// Answers that are the same for everybody: kept for a short while, and asked for once when several clients ask at the same time.
import { LRUCache } from 'lru-cache';
import type { Clock } from '../../lib/clock.ts';
import type { RequestRecord } from '../passage.ts';
import type { WholeAnswer } from './whole-answer-sink.ts';

/** An answer, and how the request went that brought it. */
export interface SharedAnswer {
  answer: WholeAnswer;
  record: RequestRecord;
}

export interface SharedAnswersOptions {
  clock: Clock;
  maxAgeMs?: number;
  maxBytes?: number;
}

/** How an answer came about: from the store, by waiting with another request for it, or by asking NovelAI. */
export type AnswerOrigin = 'hit' | 'shared' | 'fetched';

const FIVE_MINUTES_MS = 300_000;
const EIGHT_MEGABYTES = 8 * 1024 ** 2;
/** Rough cost of an entry beside its body. */
const ENTRY_BYTES = 1024;

export class SharedAnswers {
  readonly #kept: LRUCache<string, SharedAnswer>;
  readonly #running = new Map<string, Promise<SharedAnswer>>();

  constructor({ clock, maxAgeMs = FIVE_MINUTES_MS, maxBytes = EIGHT_MEGABYTES }: SharedAnswersOptions) {
    this.#kept = new LRUCache({
      maxSize: maxBytes,
      sizeCalculation: ({ answer }) => ENTRY_BYTES + (answer.kind === 'answer' ? answer.body.length : 0),
      ttl: maxAgeMs,
      ttlResolution: 0,
      perf: { now: () => clock.monotonicMs() },
    });
  }

  /** Gives the answer for `key`. `fetch` must not reject; what it gives is shared with all who ask meanwhile, and kept if sound. */
  async get(key: string, fetch: () => Promise<SharedAnswer>): Promise<SharedAnswer & { origin: AnswerOrigin }> {
    const kept = this.#kept.get(key);
    if (kept) return { ...kept, origin: 'hit' };
    const running = this.#running.get(key);
    if (running) return { ...(await running), origin: 'shared' };
    const fetching = fetch().finally(() => this.#running.delete(key));
    this.#running.set(key, fetching);
    const fetched = await fetching;
    if (isSound(fetched.answer)) this.#kept.set(key, fetched);
    return { ...fetched, origin: 'fetched' };
  }
}

/** Errors and garbage pass to those who wait now, and to nobody after them. */
function isSound(answer: WholeAnswer): boolean {
  if (answer.kind !== 'answer' || answer.status !== 200) return false;
  try {
    JSON.parse(answer.body.toString('utf8'));
    return true;
  } catch {
    return false;
  }
}
