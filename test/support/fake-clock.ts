// A clock that stands still until a test winds it: timers run in order of time, and the wall clock can be stepped apart.
import type { Clock } from '../../src/lib/clock.ts';

interface Timer {
  dueMs: number;
  sequence: number;
  callback: () => void;
}

/** Lets everything run that needs no time: promises, and callbacks of the event loop's next turn. */
export async function settle(turns = 2): Promise<void> {
  for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

export class FakeClock implements Clock {
  #monotonicMs: number;
  #wallMs: number;
  #sequence = 0;
  readonly #timers = new Set<Timer>();
  /** Lets timers run so much too early, as Node's may by up to a millisecond. */
  earlyMs = 0;

  /** The two clocks begin far apart, so that a mix-up of them shows. */
  constructor({ monotonicMs = 5000, wallMs = Date.UTC(2026, 10, 1) }: { monotonicMs?: number; wallMs?: number } = {}) {
    this.#monotonicMs = monotonicMs;
    this.#wallMs = wallMs;
  }

  wallMs(): number {
    return this.#wallMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    if (Number.isNaN(delayMs)) throw new Error('a timer was set to NaN');
    this.#sequence += 1;
    const timer: Timer = {
      dueMs: this.#monotonicMs + Math.max(delayMs - this.earlyMs, 0),
      sequence: this.#sequence,
      callback,
    };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /** Timers that have neither run nor been cancelled. */
  get timersLeft(): number {
    return this.#timers.size;
  }

  /** Time until the next timer, or undefined without one. */
  get nextTimerMs(): number | undefined {
    const next = this.#next();
    return next && next.dueMs - this.#monotonicMs;
  }

  /** Steps the wall clock alone, as an operator or NTP does. */
  stepWall(ms: number): void {
    this.#wallMs += ms;
  }

  /** Winds both clocks on; runs each timer at its time, and all that follows from it, before the next one. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#monotonicMs + ms;
    await settle();
    for (let timer = this.#next(); timer && timer.dueMs <= endMs; timer = this.#next()) {
      this.#moveTo(timer.dueMs);
      this.#timers.delete(timer);
      timer.callback();
      await settle();
    }
    this.#moveTo(endMs);
  }

  #moveTo(monotonicMs: number): void {
    const passedMs = Math.max(monotonicMs - this.#monotonicMs, 0);
    this.#monotonicMs += passedMs;
    this.#wallMs += passedMs;
  }

  #next(): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers)
      if (!next || timer.dueMs < next.dueMs || (timer.dueMs === next.dueMs && timer.sequence < next.sequence))
        next = timer;
    return next;
  }
}
