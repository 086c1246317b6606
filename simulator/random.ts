// Repeatable randomness: everything the simulator draws by lot comes from one seed.

const ALPHANUMERICS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

/** A mulberry32 generator: small, quick, and good enough for pictures, jitter and fault lots. No secrets come from it. */
export class SeededRandom {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** Gives the next whole number from 0 to 2^32 - 1. */
  nextUint32(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** Gives the next number from 0 up to, not including, 1. */
  next(): number {
    return this.nextUint32() / 2 ** 32;
  }

  /** Gives a whole number from 0 up to, not including, `limit`. */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  /** Gives `length` letters and digits. */
  alphanumerics(length: number): string {
    let text = '';
    while (text.length < length) text += ALPHANUMERICS[this.below(ALPHANUMERICS.length)];
    return text;
  }

  /** Fills `bytes` and gives it back. */
  fill<T extends Uint8Array>(bytes: T): T {
    for (let at = 0; at < bytes.length; at += 4) {
      const word = this.nextUint32();
      bytes[at] = word;
      if (at + 1 < bytes.length) bytes[at + 1] = word >>> 8;
      if (at + 2 < bytes.length) bytes[at + 2] = word >>> 16;
      if (at + 3 < bytes.length) bytes[at + 3] = word >>> 24;
    }
    return bytes;
  }
}
