// How late the event loop comes to its work: what a blocked loop costs every request at once.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Exposition } from './exposition.ts';

type DelayHistogram = ReturnType<typeof monitorEventLoopDelay>;

const RESOLUTION_MS = 20;
const QUANTILES = [0.5, 0.9, 0.99, 1] as const;
const NANOSECONDS = 1e9;

/** Each scrape gives the time since the one before. */
export class EventLoopDelay {
  readonly #name: string;
  readonly #histogram: DelayHistogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });

  constructor(name: string) {
    this.#name = name;
  }

  start(): void {
    this.#histogram.enable();
  }

  stop(): void {
    this.#histogram.disable();
  }

  expose({ client, registry }: Exposition): void {
    const histogram = this.#histogram;
    const gauge = new client.Gauge({
      name: this.#name,
      help: 'Delay of the event loop since the last scrape, seconds; quantile 1 is the greatest.',
      labelNames: ['quantile'],
      registers: [registry],
      collect() {
        for (const quantile of QUANTILES) gauge.set({ quantile: String(quantile) }, delaySeconds(histogram, quantile));
        histogram.reset();
      },
    });
  }
}

/** Node measures the whole time between two of its timers, the resolution included. */
function delaySeconds(histogram: DelayHistogram, quantile: number): number {
  if (histogram.count === 0) return 0;
  const nanoseconds = quantile === 1 ? histogram.max : histogram.percentile(quantile * 100);
  return Math.max(0, nanoseconds / NANOSECONDS - RESOLUTION_MS / 1000);
}
