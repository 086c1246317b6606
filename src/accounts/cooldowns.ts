// When an account rests after NovelAI turned it away: growing pauses that are never shortened.
import { backoffMs } from '../lib/backoff.ts';
import type { SlotKind } from './work-class.ts';

/** What rests: the whole account, or only its image or text slots (NovelAI locks the two apart, contract section 6). */
export type CooldownScope = 'account' | SlotKind;

export interface Cooldown {
  /** Monotonic milliseconds. */
  untilMs: number;
  why: string;
}

const PAUSE = { baseMs: 1000, maxMs: 30_000, jitter: 0.2 } as const;

export class Cooldowns {
  readonly #random: () => number;
  readonly #entries = new Map<CooldownScope, Cooldown & { failures: number }>();

  constructor(random: () => number) {
    this.#random = random;
  }

  /** Starts or lengthens a pause: 1, 2, 4 ... 30 s with jitter, at least `leastMs` (a `Retry-After`). */
  grow(scope: CooldownScope, why: string, nowMs: number, leastMs = 0): void {
    const failures = (this.#entries.get(scope)?.failures ?? 0) + 1;
    this.#set(scope, why, nowMs + Math.max(backoffMs(failures, PAUSE, this.#random), leastMs), failures);
  }

  /** Rests until a given time, without counting it as a failure. */
  restUntil(scope: CooldownScope, why: string, untilMs: number): void {
    this.#set(scope, why, untilMs, this.#entries.get(scope)?.failures ?? 0);
  }

  #set(scope: CooldownScope, why: string, untilMs: number, failures: number): void {
    const current = this.#entries.get(scope);
    if (current && current.untilMs > untilMs) this.#entries.set(scope, { ...current, failures });
    else this.#entries.set(scope, { untilMs, why, failures });
  }

  /** The pause that binds work of this kind now, or undefined. */
  current(kind: SlotKind, nowMs: number): Cooldown | undefined {
    let longest: Cooldown | undefined;
    for (const scope of ['account', kind] as const) {
      const entry = this.#entries.get(scope);
      if (entry && entry.untilMs > nowMs && entry.untilMs > (longest?.untilMs ?? 0)) longest = entry;
    }
    return longest;
  }

  /** A success ends the growth, for the account and this kind; a pause that still runs is not shortened. */
  onSuccess(kind: SlotKind, nowMs: number): void {
    for (const scope of ['account', kind] as const) {
      const entry = this.#entries.get(scope);
      if (entry && entry.untilMs <= nowMs) this.#entries.delete(scope);
      else if (entry) entry.failures = 0;
    }
  }
}
