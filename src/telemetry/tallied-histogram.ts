// A histogram that costs a few additions on the way of a request; Prometheus gets its buckets when it asks.
import { Histogram, type Registry } from 'prom-client';

export interface TalliedHistogramOptions {
  name: string;
  help: string;
  /** At most one label, whose values the caller keeps few. */
  labelName?: string;
  /** Upper bounds, ascending, seconds. */
  buckets: readonly number[];
  register: Registry;
}

interface Tally {
  /** Observations by bucket, the last for what is above all bounds; not cumulative. */
  counts: number[];
  sum: number;
  count: number;
}

interface Sample {
  metricName: string;
  labels: Record<string, string | number>;
  value: number;
}

/** prom-client's own takes about a microsecond for each observation, most of it for its labels; this a few dozen nanoseconds. */
export class TalliedHistogram extends Histogram {
  readonly #name: string;
  readonly #help: string;
  readonly #labelName: string | undefined;
  readonly #bounds: readonly number[];
  readonly #tallies = new Map<string, Tally>();

  constructor({ name, help, labelName, buckets, register }: TalliedHistogramOptions) {
    super({
      name,
      help,
      labelNames: labelName === undefined ? [] : [labelName],
      buckets: [...buckets],
      registers: [register],
    });
    this.#name = name;
    this.#help = help;
    this.#labelName = labelName;
    this.#bounds = buckets;
    if (labelName === undefined) this.#tallies.set('', this.#newTally());
  }

  /** Takes one observation. What is no finite number is ignored. */
  tally(seconds: number, labelValue = ''): void {
    if (!Number.isFinite(seconds)) return;
    let tally = this.#tallies.get(labelValue);
    if (!tally) {
      tally = this.#newTally();
      this.#tallies.set(labelValue, tally);
    }
    let index = 0;
    while (index < this.#bounds.length && seconds > (this.#bounds[index] ?? Infinity)) index += 1;
    tally.counts[index] = (tally.counts[index] ?? 0) + 1;
    tally.sum += seconds;
    tally.count += 1;
  }

  /** What prom-client asks for; see its `Registry.getMetricsAsString`. */
  getForPromString(): Promise<Awaited<ReturnType<Histogram['get']>>> {
    return this.get();
  }

  override get(): ReturnType<Histogram['get']> {
    return Promise.resolve({
      name: this.#name,
      help: this.#help,
      type: 'histogram',
      aggregator: 'sum',
      collect: () => undefined,
      values: [...this.#tallies].flatMap(([labelValue, tally]) => this.#samples(labelValue, tally)),
      // Its types ask for the enumeration, its code for the word.
    } as unknown as Awaited<ReturnType<Histogram['get']>>);
  }

  #samples(labelValue: string, { counts, sum, count }: Tally): Sample[] {
    const labels: Record<string, string> = this.#labelName === undefined ? {} : { [this.#labelName]: labelValue };
    let upTo = 0;
    const buckets = this.#bounds.map((bound, index): Sample => {
      upTo += counts[index] ?? 0;
      return { metricName: `${this.#name}_bucket`, labels: { le: bound, ...labels }, value: upTo };
    });
    return [
      ...buckets,
      { metricName: `${this.#name}_bucket`, labels: { le: '+Inf', ...labels }, value: count },
      { metricName: `${this.#name}_sum`, labels, value: sum },
      { metricName: `${this.#name}_count`, labels, value: count },
    ];
  }

  #newTally(): Tally {
    return { counts: Array.from({ length: this.#bounds.length + 1 }, () => 0), sum: 0, count: 0 };
  }
}
