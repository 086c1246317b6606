// How much later arrivals delay what waits already: jobs of clients with nothing else queued go first when they come.

/** Time over which arrivals are averaged. */
const MEMORY_MS = 600_000;
const MAX_PART = 0.8;

/** A fading sum of the work that arrived alone, that is from clients that had nothing queued. */
export class Overtaking {
  #workMs = 0;
  #atMs = 0;

  observeArrival(estimateMs: number, nowMs: number): void {
    this.#workMs = this.#faded(nowMs) + estimateMs;
    this.#atMs = nowMs;
  }

  /** Factor on a wait, at least 1: with a part p of the slots' time going to such arrivals, a wait takes 1 / (1 - p) times as long. */
  stretch(slotCount: number, nowMs: number): number {
    const part = this.#faded(nowMs) / MEMORY_MS / Math.max(1, slotCount);
    return 1 / (1 - Math.min(MAX_PART, part));
  }

  #faded(nowMs: number): number {
    return this.#workMs * Math.exp(-(nowMs - this.#atMs) / MEMORY_MS);
  }
}
