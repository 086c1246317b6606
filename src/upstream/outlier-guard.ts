// Takes a member of a group (an upstream host, an account) out of use after failures in a row, and back by one probe.

const FAILURES_TO_EJECT = 5;
const EJECTION_STEP_MS = 30_000;
const EJECTION_MAX_MS = 300_000;

/** `in` = in use; `out` = ejected; `probing` = ejected, and one request is out to see whether it is well again. */
export type OutlierState = 'in' | 'out' | 'probing';

/**
 * The health of one member: five failures in a row eject it for 30 s times the number of its ejections in a row, at most
 * 300 s; then one probe decides (design section 5). Whether the last member of a group may be ejected is the group's business.
 */
export class OutlierGuard {
  #failures = 0;
  #ejections = 0;
  #isEjected = false;
  #outUntilMs = 0;
  #isProbeOut = false;

  get failures(): number {
    return this.#failures;
  }

  /** When an ejected member may be probed (monotonic milliseconds), or undefined while it is not ejected. */
  get outUntilMs(): number | undefined {
    return this.#isEjected ? this.#outUntilMs : undefined;
  }

  /** An ejected member whose time is over counts as in use again, for one request. */
  state(nowMs: number): OutlierState {
    if (!this.#isEjected) return 'in';
    if (this.#isProbeOut) return 'probing';
    return nowMs < this.#outUntilMs ? 'out' : 'in';
  }

  /** Requests that may still fail before ejection, which bounds how many are worth having out at once. */
  get failuresLeft(): number {
    return Math.max(FAILURES_TO_EJECT - this.#failures, 0);
  }

  /** To be told when a request goes out. Gives whether it is the probe that decides over an ejected member. */
  onSend(): boolean {
    const isProbe = this.#isEjected && !this.#isProbeOut;
    if (isProbe) this.#isProbeOut = true;
    return isProbe;
  }

  onSuccess(): void {
    this.#failures = 0;
    this.#ejections = 0;
    this.#isEjected = false;
    this.#isProbeOut = false;
  }

  /**
   * Gives true when this failure ejects the member. `isProbe` tells a probe from requests that were out already when the member
   * was ejected; without it, a probe that is out is taken to be the one that failed.
   */
  onFailure(
    nowMs: number,
    { mayEject, isProbe = this.#isProbeOut }: { mayEject: boolean; isProbe?: boolean },
  ): boolean {
    if (isProbe) this.#isProbeOut = false;
    this.#failures += 1;
    // Only a failed probe lengthens an ejection.
    if (!mayEject || this.#failures < FAILURES_TO_EJECT || (this.#isEjected && !isProbe)) return false;
    this.#isEjected = true;
    this.#ejections += 1;
    this.#outUntilMs = nowMs + Math.min(EJECTION_STEP_MS * this.#ejections, EJECTION_MAX_MS);
    return true;
  }

  /** A request that ended without telling anything about the member's health (a client's own fault, an abort). */
  onNoVerdict({ isProbe = this.#isProbeOut }: { isProbe?: boolean } = {}): void {
    if (isProbe) this.#isProbeOut = false;
  }
}
