// A histogram that costs a few additions on the way of a request; Prometheus gets its buckets when it asks.
import type { Histogram } from 'prom-client';
import type { Exposition } from './exposition.ts';

export interface TalliedHistogramOptions {
  name: string;
  help: string;
  /** At most one label, whose values the caller keeps few. */
  labelName?: string;
  /** Upper bounds, ascending, seconds. */
  buckets: readonly number[];
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

type Exposed = Awaited<ReturnType<Histogram['get']>>;

/** prom-client's own takes about a microsecond for each observation, most of it for its labels; this a few dozen nanoseconds. */
export class TalliedHistogram {
  readonly #options: TalliedHistogramOptions;
  readonly #bounds: readonly number[];
  readonly #tallies = new Map<string, Tally>();

  constructor(options: TalliedHistogramOptions) {
    this.#options = options;
    this.#bounds = options.buckets;
    if (options.labelName === undefined) this.#tallies.set('', this.#newTally());
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

  /** Shows the buckets, as they are at each scrape. */
  expose({ client, registry }: Exposition): void {
    const { name, help, labelName, buckets } = this.#options;
    const labelNames = labelName === undefined ? [] : [labelName];
    const histogram = new client.Histogram({ name, help, labelNames, buckets: [...buckets], registers: [registry] });
    // prom-client has no way to take over counts; these two are where it asks a metric for its samples.
    const get = () => Promise.resolve(this.#samplesOfAll());
    Object.assign(histogram, { get, getForPromString: get });
  }

  #samplesOfAll(): Exposed {
    const { name, help } = this.#options;
    const values = [...this.#tallies].flatMap(([labelValue, tally]) => this.#samples(labelValue, tally));
    // Its types ask for an enumeration of kinds, its code for the word.
    return { name, help, type: 'histogram', aggregator: 'sum', values } as unknown as Exposed;
  }

  #samples(labelValue: string, { counts, sum, count }: Tally): Sample[] {
    const { name, labelName } = this.#options;
    const labels: Record<string, string> = labelName === undefined ? {} : { [labelName]: labelValue };
    let upTo = 0;
    const buckets = this.#bounds.map((bound, index): Sample => {
      upTo += counts[index] ?? 0;
      return { metricName: `${name}_bucket`, labels: { le: bound, ...labels }, value: upTo };
    });
    return [
      ...buckets,
      { metricName: `${name}_bucket`, labels: { le: '+Inf', ...labels }, value: count },
      { metricName: `${name}_sum`, labels, value: sum },
      { metricName: `${name}_count`, labels, value: count },
    ];
  }

  #newTally(): Tally {
    return { counts: Array.from({ length: this.#bounds.length + 1 }, () => 0), sum: 0, count: 0 };
  }
}
