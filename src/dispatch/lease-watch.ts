// Watches accounts being taken and given back: how long each is in use, and how long one that is free stands idle while work waits.
import type { Clock } from '../lib/clock.ts';
import type { ServiceMetrics } from '../telemetry/service-metrics.ts';
import type { Lease } from './work-queue.ts';

export class LeaseWatch {
  readonly #metrics: Pick<ServiceMetrics, 'slotTaken' | 'slotFreed' | 'dispatchGap'>;
  readonly #clock: Clock;
  /** When the slot that is being handed on became free; set only while its release gives it to the next in the queue. */
  #freedMs: number | undefined;

  constructor(metrics: Pick<ServiceMetrics, 'slotTaken' | 'slotFreed' | 'dispatchGap'>, clock: Clock) {
    this.#metrics = metrics;
    this.#clock = clock;
  }

  /** To be called as a lease is granted; gives the lease to hand out in its place. */
  watch(lease: Lease): Lease {
    const { name } = lease.account;
    const metrics = this.#metrics;
    // Who waits gets the slot inside the release of the one before; whoever finds it idle does not.
    let freedMs = this.#freedMs;
    let isHeld = true;
    metrics.slotTaken(name);
    return {
      ...lease,
      onSent: () => {
        if (freedMs !== undefined) metrics.dispatchGap(this.#clock.monotonicMs() - freedMs);
        freedMs = undefined;
      },
      release: (options) => {
        if (isHeld) metrics.slotFreed(name);
        isHeld = false;
        this.#freedMs = this.#clock.monotonicMs();
        try {
          lease.release(options);
        } finally {
          this.#freedMs = undefined;
        }
      },
    };
  }
}
