// A counter that costs a map look-up on the way of a request; Prometheus gets its numbers when it asks.
import { Counter, type Registry } from 'prom-client';

export interface TalliedCounterOptions {
  name: string;
  help: string;
  labelNames: readonly string[];
  register: Registry;
  /** Most label combinations; further ones are counted together, with `other` in every label. */
  mostSeries?: number;
}

const MOST_SERIES = 1000;
const OTHER = 'other';

/** prom-client hashes the labels at every step, for about a microsecond; this does it once per scrape. */
export class TalliedCounter {
  readonly #labelNames: readonly string[];
  readonly #mostSeries: number;
  readonly #tallies = new Map<string, { labels: readonly string[]; total: number }>();

  constructor({ name, help, labelNames, register, mostSeries = MOST_SERIES }: TalliedCounterOptions) {
    this.#labelNames = labelNames;
    this.#mostSeries = mostSeries;
    const tallies = this.#tallies;
    const labelled = (labels: readonly string[]) => this.#labelled(labels);
    const counter = new Counter({
      name,
      help,
      labelNames,
      registers: [register],
      collect() {
        counter.reset();
        for (const { labels, total } of tallies.values()) counter.inc(labelled(labels), total);
      },
    });
  }

  /** Label combinations so far. */
  get seriesCount(): number {
    return this.#tallies.size;
  }

  /** Adds `amount` for these values, in the order of the label names. Amounts that are no number above 0 are ignored. */
  add(labels: readonly string[], amount = 1): void {
    if (!(amount >= 0 && amount < Infinity)) return;
    const key = labels.length === 1 ? (labels[0] ?? '') : labels.join('\0');
    const tally = this.#tallies.get(key);
    if (tally) tally.total += amount;
    else if (this.#tallies.size < this.#mostSeries) this.#tallies.set(key, { labels, total: amount });
    else this.#addToOthers(amount);
  }

  #addToOthers(amount: number): void {
    const labels = this.#labelNames.map(() => OTHER);
    const key = labels.join('\0');
    const tally = this.#tallies.get(key);
    if (tally) tally.total += amount;
    else this.#tallies.set(key, { labels, total: amount });
  }

  #labelled(labels: readonly string[]): Record<string, string> {
    return Object.fromEntries(this.#labelNames.map((name, index) => [name, labels[index] ?? OTHER]));
  }
}
