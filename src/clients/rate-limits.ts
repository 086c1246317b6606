// How many requests a client may make in a minute.
import { LRUCache } from 'lru-cache';
import type { Clock } from '../lib/clock.ts';
import type { Client } from './client.ts';

interface Bucket {
  tokens: number;
  atMs: number;
}

const MINUTE_MS = 60_000;
/** A forgotten bucket is a full one; more clients than this are not busy within one minute. */
const MOST_BUCKETS = 100_000;
/** So that whoever waits exactly as long as told is let in. */
const ROUNDING = 1e-9;

/**
 * A bucket for each client, of as many requests as it may make in a minute, which refills evenly. So a client that was quiet may
 * spend a minute's worth at once, and from then on has the even pace. A refused request takes nothing.
 */
export class RateLimits {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  /** Its room is taken at once, some megabytes, and most services limit nobody. */
  #buckets: LRUCache<string, Bucket> | undefined;

  constructor({ clock }: { clock: Pick<Clock, 'monotonicMs'> }) {
    this.#clock = clock;
  }

  /** Counts a request and gives undefined, or gives how long the client must wait before the next one, milliseconds. */
  take({ id, requestsPerMinute }: Pick<Client, 'id' | 'requestsPerMinute'>): number | undefined {
    if (requestsPerMinute === null) return undefined;
    const nowMs = this.#clock.monotonicMs();
    const refillMs = MINUTE_MS / requestsPerMinute;
    const buckets = (this.#buckets ??= new LRUCache({ max: MOST_BUCKETS }));
    const before = buckets.get(id);
    const tokens = Math.min(
      before ? before.tokens + (nowMs - before.atMs) / refillMs : requestsPerMinute,
      requestsPerMinute,
    );
    const isGranted = tokens >= 1 - ROUNDING;
    buckets.set(id, { tokens: isGranted ? tokens - 1 : tokens, atMs: nowMs });
    return isGranted ? undefined : Math.max(Math.ceil((1 - ROUNDING - tokens) * refillMs), 1);
  }
}
