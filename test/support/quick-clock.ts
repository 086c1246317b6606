// A clock that runs faster than the sun, and whose wall clock can be stepped: for tests of what takes minutes in a real house.
import { systemClock, type Clock } from '../../src/lib/clock.ts';

export class QuickClock implements Clock {
  readonly #speed: number;
  readonly #bornMs = performance.now();
  #wallMs: number;

  /** `speed`: how many of its seconds go by in a real one. */
  constructor({ speed = 1, wallMs = Date.now() }: { speed?: number; wallMs?: number } = {}) {
    this.#speed = speed;
    this.#wallMs = wallMs;
  }

  wallMs(): number {
    return Math.floor(this.#wallMs + this.#elapsedMs);
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    return systemClock.after(delayMs / this.#speed, callback);
  }

  /** Steps the wall clock alone, as an operator or NTP does. */
  stepWall(ms: number): void {
    this.#wallMs += ms;
  }

  get #elapsedMs(): number {
    return (performance.now() - this.#bornMs) * this.#speed;
  }
}
