// What is counted and timed on the way of requests. One object for each service; a fault in here never reaches a request.
import type { Outcome } from '../lib/outcome.ts';
import { EventLoopDelay } from './event-loop-delay.ts';
import { metricsReader, type Exposed, type MetricsText } from './exposition.ts';
import { TalliedCounter } from './tallied-counter.ts';
import { TalliedHistogram } from './tallied-histogram.ts';

/** How a request ended, as its log line says it. */
export interface EndedRequest {
  dialect: string;
  /** Id in the endpoint table; undefined where the request named none. */
  endpoint: string | undefined;
  outcome: Outcome;
  client?: string | undefined;
  totalMs: number;
  slot?: string | undefined;
  queueWaitMs?: number | undefined;
  chargedAnlas?: number | undefined;
  savedAnlas?: number | undefined;
}

/** How one exchange with NovelAI ended, of a request that had gone to a connection. */
export interface EndedExchange {
  /** Absent where no answer came. */
  status?: number | undefined;
  durationMs: number;
  /** Whether it held an account; reads are not timed by model. */
  isGeneration: boolean;
  model?: string | undefined;
}

export interface ServiceMetricsOptions {
  /** The values that labels may take; all others become `unknown` or `other`, so that nobody can make up series. */
  endpoints: readonly string[];
  models: readonly string[];
  version: string;
  monotonicMs: () => number;
}

const PREFIX = 'novelai_proxy_';
const MOST_CLIENTS = 200;
const ETA_SAMPLE_MS = 1000;
const MOST_ACCOUNTS = 500;
/** Generations take 3 to 30 seconds, streams and upscales longer; refusals are answered in a millisecond. */
const REQUEST_BUCKETS = [0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600];
const WAIT_BUCKETS = [0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];
const UPSTREAM_BUCKETS = [0.1, 0.25, 0.5, 1, 2, 3, 4, 5, 7.5, 10, 15, 20, 30, 60, 120, 180];
/** An account that stands idle for longer than 25 ms while work waits is a fault (design I3). */
const GAP_BUCKETS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1];
const WRITE_BUCKETS = [0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5];
const ETA_BUCKETS = [-300, -60, -30, -10, -5, -2, -1, 0, 1, 2, 5, 10, 30, 60, 300];

export class ServiceMetrics {
  readonly #exposed: Exposed[] = [];
  /** Everything in Prometheus' text form, with the process's own metrics. */
  readonly read: () => Promise<MetricsText> = metricsReader(this.#exposed);
  readonly #endpoints: ReadonlySet<string>;
  readonly #models: ReadonlySet<string>;
  readonly #monotonicMs: () => number;
  readonly #eventLoopDelay: EventLoopDelay;
  readonly #requests = this.#counter('requests_total', 'Requests by how they ended.', [
    'dialect',
    'endpoint',
    'outcome',
  ]);
  readonly #requestSeconds = this.#histogram('request_seconds', 'From arrival to end.', REQUEST_BUCKETS, 'endpoint');
  readonly #waitSeconds = this.#histogram('queue_wait_seconds', 'From arrival to an account.', WAIT_BUCKETS, 'slot');
  readonly #gapSeconds = this.#histogram(
    'dispatch_gap_seconds',
    'From an account becoming free while work for it waits to its next send.',
    GAP_BUCKETS,
  );
  readonly #upstreamSeconds = this.#histogram(
    'upstream_seconds',
    'From a send to the end of the answer, generations only.',
    UPSTREAM_BUCKETS,
    'model',
  );
  readonly #responses = this.#counter('upstream_responses_total', "NovelAI's answers; none: no answer came.", [
    'status_class',
  ]);
  readonly #sends = this.#counter('sends_total', 'Requests sent to NovelAI whose exchange has ended.', []);
  readonly #etaErrorSeconds = this.#histogram(
    'eta_error_seconds',
    'Forecast wait (p50, at entry) minus real wait; a sample of at most one request a second.',
    ETA_BUCKETS,
  );
  readonly #ledgerSeconds = this.#histogram(
    'ledger_write_seconds',
    'From a change asked of the ledger to its being stored.',
    WRITE_BUCKETS,
  );
  readonly #logins = this.#counter(
    'account_refreshes_total',
    'Logins by result.',
    ['account', 'result'],
    MOST_ACCOUNTS,
  );
  readonly #cooldowns = this.#counter(
    'account_cooldowns_total',
    'Pauses and ejections of accounts by their reason.',
    ['account', 'why'],
    MOST_ACCOUNTS * 4,
  );
  readonly #chargedAnlas = this.#counter(
    'anlas_charged_total',
    'Anlas that requests are known to have cost at their end.',
    ['client'],
    MOST_CLIENTS,
  );
  readonly #savedAnlas = this.#counter(
    'anlas_saved_total',
    'Anlas that kept answers spared.',
    ['client'],
    MOST_CLIENTS,
  );
  #nextEtaSampleMs = 0;
  /** Time in use by account: the sum so far, and since when it is in use now. */
  readonly #busy = new Map<string, { totalMs: number; slots: number; sinceMs: number }>();

  constructor({ endpoints, models, version, monotonicMs }: ServiceMetricsOptions) {
    this.#endpoints = new Set(endpoints);
    this.#models = new Set(models);
    this.#monotonicMs = monotonicMs;
    this.#eventLoopDelay = new EventLoopDelay(`${PREFIX}event_loop_delay_seconds`);
    this.show(this.#eventLoopDelay);
    this.#sends.add([], 0);
    this.#counter('build_info', 'Always 1; the version is the label.', ['version']).add([version]);
  }

  start(): void {
    this.#eventLoopDelay.start();
  }

  stop(): void {
    this.#eventLoopDelay.stop();
  }

  /** Shows further metrics beside these; to be called before the first {@link read}. */
  show(exposed: Exposed): void {
    this.#exposed.push(exposed);
  }

  /** To be called exactly once for each request, as its line is logged. */
  requestEnded(ended: EndedRequest): void {
    const { dialect, endpoint = '', outcome, client = '', totalMs, slot, queueWaitMs } = ended;
    const known = this.#endpoints.has(endpoint) ? endpoint : 'unknown';
    unharmed(() => {
      this.#requests.add([dialect, known, outcome]);
      this.#requestSeconds.tally(totalMs / 1000, known);
      if (slot !== undefined && queueWaitMs !== undefined) this.#waitSeconds.tally(queueWaitMs / 1000, slot);
      if (ended.chargedAnlas) this.#chargedAnlas.add([client], ended.chargedAnlas);
      if (ended.savedAnlas) this.#savedAnlas.add([client], ended.savedAnlas);
    });
  }

  exchangeEnded({ status, durationMs, isGeneration, model = '' }: EndedExchange): void {
    unharmed(() => {
      this.#sends.add([]);
      this.#responses.add([status === undefined ? 'none' : `${Math.floor(status / 100)}xx`]);
      if (isGeneration) this.#upstreamSeconds.tally(durationMs / 1000, this.#models.has(model) ? model : 'other');
    });
  }

  dispatchGap(gapMs: number): void {
    unharmed(() => this.#gapSeconds.tally(gapMs / 1000));
  }

  /** Whether a forecast may be made for {@link etaError}: once a second. */
  isEtaSampleDue(nowMs: number): boolean {
    return nowMs >= this.#nextEtaSampleMs;
  }

  etaSampled(nowMs: number): void {
    this.#nextEtaSampleMs = nowMs + ETA_SAMPLE_MS;
  }

  /** `errorMs` above 0: it came to its account earlier than forecast. */
  etaError(errorMs: number): void {
    unharmed(() => this.#etaErrorSeconds.tally(errorMs / 1000));
  }

  ledgerWritten(durationMs: number): void {
    unharmed(() => this.#ledgerSeconds.tally(durationMs / 1000));
  }

  accountLoggedIn(account: string, result: 'ok' | 'refused' | 'failed'): void {
    unharmed(() => this.#logins.add([account, result]));
  }

  accountCooled(account: string, why: string): void {
    unharmed(() => this.#cooldowns.add([account, why]));
  }

  slotTaken(account: string): void {
    const busy = this.#busy.get(account) ?? { totalMs: 0, slots: 0, sinceMs: 0 };
    if (busy.slots === 0) busy.sinceMs = this.#monotonicMs();
    busy.slots += 1;
    this.#busy.set(account, busy);
  }

  slotFreed(account: string): void {
    const busy = this.#busy.get(account);
    if (!busy || busy.slots === 0) return;
    busy.slots -= 1;
    if (busy.slots === 0) busy.totalMs += this.#monotonicMs() - busy.sinceMs;
  }

  /** Whether the account holds work now, and for how long it has held any in all. */
  useOf(account: string): { isBusy: boolean; busyMs: number } {
    const { totalMs, slots, sinceMs } = this.#busy.get(account) ?? { totalMs: 0, slots: 0, sinceMs: 0 };
    return { isBusy: slots > 0, busyMs: slots > 0 ? totalMs + this.#monotonicMs() - sinceMs : totalMs };
  }

  #counter(name: string, help: string, labelNames: readonly string[], mostSeries?: number): TalliedCounter {
    const counter = new TalliedCounter({
      name: PREFIX + name,
      help,
      labelNames,
      ...(mostSeries !== undefined && { mostSeries }),
    });
    this.show(counter);
    return counter;
  }

  #histogram(name: string, help: string, buckets: readonly number[], labelName?: string): TalliedHistogram {
    const histogram = new TalliedHistogram({
      name: PREFIX + name,
      help,
      buckets,
      ...(labelName !== undefined && { labelName }),
    });
    this.show(histogram);
    return histogram;
  }
}

/** Whatever goes wrong with a number is nothing to a request. */
function unharmed(step: () => void): void {
  try {
    step();
  } catch {
    // A number is missing, and that is all.
  }
}
