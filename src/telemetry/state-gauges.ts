// How things stand, read when Prometheus asks: queue, accounts, ledger, results store. Costs nothing between two scrapes.
import type { Exposed, Exposition } from './exposition.ts';
import type { ServiceMetrics } from './service-metrics.ts';

/** One account as the gauges show it. */
export interface AccountStanding {
  name: string;
  state: string;
  /** Anlas of both pools; undefined while not known. */
  anlas?: number | undefined;
  /** Of the V5 allowance; undefined where there is none. */
  allowancePercent?: number | undefined;
}

/** Where the gauges look. */
export interface StateSources {
  slots: () => { slot: string; waiting: number; running: number }[];
  accounts: () => AccountStanding[];
  ledgerOwed: () => number;
  bank: () => { usedBytes: number; answers: number };
  droppedLogLines: () => number;
}

/** `busy` stands for a ready account that holds work (design section 5). */
const ACCOUNT_STATES = ['ready', 'busy', 'cooling', 'refreshing', 'draining', 'disabled'] as const;
const PREFIX = 'novelai_proxy_';

/** Gives the gauges, to be shown beside the metrics. */
export function stateGauges(metrics: Pick<ServiceMetrics, 'useOf'>, sources: StateSources): Exposed {
  return {
    expose(exposition) {
      exposeGauges(exposition, metrics, sources);
      exposeCounters(exposition, metrics, sources);
    },
  };
}

function exposeGauges(exposition: Exposition, metrics: Pick<ServiceMetrics, 'useOf'>, sources: StateSources): void {
  const gauge = gaugesIn(exposition);
  gauge('queue_depth', 'Requests that wait for an account.', ['slot'], (set) => {
    for (const { slot, waiting } of sources.slots()) set({ slot }, waiting);
  });
  gauge('running', 'Requests that hold an account.', ['slot'], (set) => {
    for (const { slot, running } of sources.slots()) set({ slot }, running);
  });
  gauge('account_state', '1 for the state the account is in.', ['account', 'state'], (set) => {
    for (const { name: account, state } of sources.accounts()) {
      const present = state === 'ready' && metrics.useOf(account).isBusy ? 'busy' : state;
      for (const each of ACCOUNT_STATES) set({ account, state: each }, each === present ? 1 : 0);
    }
  });
  gauge('account_anlas', 'Anlas on the account, as last read.', ['account'], (set) => {
    for (const { name: account, anlas } of sources.accounts()) if (anlas !== undefined) set({ account }, anlas);
  });
  gauge('account_allowance_percent', 'What is left of the V5 allowance, as last read.', ['account'], (set) => {
    for (const { name: account, allowancePercent } of sources.accounts())
      if (allowancePercent !== undefined) set({ account }, allowancePercent);
  });
  gauge('ledger_owed', 'Ends of requests that wait for the database to take them.', [], (set) =>
    set({}, sources.ledgerOwed()),
  );
  gauge('bank_bytes', 'Size of the kept results.', [], (set) => set({}, sources.bank().usedBytes));
  gauge('bank_entries', 'Kept results.', [], (set) => set({}, sources.bank().answers));
}

/** What only grows, but is counted elsewhere. */
function exposeCounters(
  { client, registry }: Exposition,
  metrics: Pick<ServiceMetrics, 'useOf'>,
  sources: StateSources,
): void {
  const busySeconds = new client.Counter({
    name: `${PREFIX}account_busy_seconds_total`,
    help: 'Time during which the account held at least one request.',
    labelNames: ['account'],
    registers: [registry],
    collect() {
      busySeconds.reset();
      for (const { name: account } of sources.accounts())
        busySeconds.inc({ account }, metrics.useOf(account).busyMs / 1000);
    },
  });
  const droppedLines = new client.Counter({
    name: `${PREFIX}log_lines_dropped_total`,
    help: 'Lines that could not be written to the log file.',
    registers: [registry],
    collect() {
      droppedLines.reset();
      droppedLines.inc(sources.droppedLogLines());
    },
  });
}

type SetGauge = (labels: Record<string, string>, value: number) => void;

function gaugesIn({ client, registry }: Exposition) {
  return (name: string, help: string, labelNames: readonly string[], read: (set: SetGauge) => void): void => {
    const gauge = new client.Gauge({
      name: PREFIX + name,
      help,
      labelNames,
      registers: [registry],
      collect() {
        // What is gone (a removed account) must not stay for ever.
        gauge.reset();
        read((labels, value) => gauge.set(labels, value));
      },
    });
  };
}
