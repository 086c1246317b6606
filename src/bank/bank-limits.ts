// How much the bank keeps, and for how long.

export interface BankLimits {
  /** All kept answers together, on the disk; 0 keeps none. */
  totalBytes: number;
  /** A longer answer is not kept. */
  answerBytes: number;
  /** How long an answer is kept. */
  keepMs: number;
  /** How long after a lost connection the same request gets the answer without a key; 0 for never. */
  lostConnectionMs: number;
  /** Memory for answers that are passing, all together; past it they go to files. */
  memoryBytes: number;
}

export const DEFAULT_BANK_LIMITS: Readonly<BankLimits> = Object.freeze({
  totalBytes: 1024 ** 3,
  answerBytes: 64 * 1024 ** 2,
  keepMs: 24 * 3_600_000,
  lostConnectionMs: 5 * 60_000,
  memoryBytes: 16 * 1024 ** 2,
});
