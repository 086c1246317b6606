// A counter that costs a map look-up on the way of a request; Prometheus gets its numbers when it asks.
import type { Exposition } from './exposition.ts';

export interface TalliedCounterOptions {
  name: string;
  help: string;
  labelNames: readonly string[];
  /** Most label combinations; further ones are counted together, with `other` in every label. */
  mostSeries?: number;
}

const MOST_SERIES = 1000;
const OTHER = 'other';

/** prom-client hashes the labels at every step, for about a microsecond; this does it once per scrape. */
export class TalliedCounter {
  readonly #options: Required<TalliedCounterOptions>;
  readonly #tallies = new Map<string, { labels: readonly string[]; total: number }>();

  constructor({ mostSeries = MOST_SERIES, ...options }: TalliedCounterOptions) {
    this.#options = { ...options, mostSeries };
  }

  /** Adds `amount` for these values, in the order of the label names. Amounts that are no number above 0 are ignored. */
  add(labels: readonly string[], amount = 1): void {
    if (!(amount >= 0 && amount < Infinity)) return;
    const key = labels.length === 1 ? (labels[0] ?? '') : labels.join('\0');
    const tally = this.#tallies.get(key);
    if (tally) tally.total += amount;
    else if (this.#tallies.size < this.#options.mostSeries) this.#tallies.set(key, { labels, total: amount });
    else this.#addToOthers(amount);
  }

  /** Shows the numbers, as they are at each scrape. */
  expose({ client, registry }: Exposition): void {
    const { name, help, labelNames } = this.#options;
    const tallies = this.#tallies;
    const labelled = (labels: readonly string[]) =>
      Object.fromEntries(labelNames.map((label, index) => [label, labels[index] ?? OTHER]));
    const counter = new client.Counter({
      name,
      help,
      labelNames,
      registers: [registry],
      collect() {
        counter.reset();
        for (const { labels, total } of tallies.values()) counter.inc(labelled(labels), total);
      },
    });
  }

  #addToOthers(amount: number): void {
    const labels = this.#options.labelNames.map(() => OTHER);
    const key = labels.join('\0');
    const tally = this.#tallies.get(key);
    if (tally) tally.total += amount;
    else this.#tallies.set(key, { labels, total: amount });
  }
}
