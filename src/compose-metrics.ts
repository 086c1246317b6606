// The metrics and where their numbers come from.
import type { AccountPool } from './accounts/account-pool.ts';
import { SLOT_KINDS } from './accounts/work-class.ts';
import type { Bank } from './bank/bank.ts';
import type { WorkQueue } from './dispatch/work-queue.ts';
import type { Ledger } from './ledger/ledger.ts';
import type { Clock } from './lib/clock.ts';
import { VERSION } from './lib/version.ts';
import { ENDPOINTS } from './novelai/endpoints.ts';
import { MODELS } from './novelai/models.ts';
import { ServiceMetrics } from './telemetry/service-metrics.ts';
import { stateGauges } from './telemetry/state-gauges.ts';

export function createMetrics(clock: Clock): ServiceMetrics {
  return new ServiceMetrics({
    endpoints: ENDPOINTS.map(({ id }) => id),
    models: MODELS.map(({ id }) => id),
    version: VERSION,
    monotonicMs: () => clock.monotonicMs(),
  });
}

export interface MetricsSources {
  pool: AccountPool;
  queue: WorkQueue;
  ledger: Ledger;
  bank: Bank;
  droppedLogLines: () => number;
}

/** Lets the metrics show how the rooms stand. */
export function watchRooms(
  metrics: ServiceMetrics,
  { pool, queue, ledger, bank, droppedLogLines }: MetricsSources,
): void {
  const gauges = stateGauges(metrics, {
    slots: () =>
      SLOT_KINDS.map((slot) => {
        const { queued, running } = queue.stats(slot);
        return { slot, waiting: queued, running };
      }),
    accounts: () =>
      pool.accounts.map((account) => ({
        name: account.name,
        state: account.availability('image').state,
        anlas: account.balance.anlas,
        allowancePercent: account.balance.subscription?.allowance?.percent,
      })),
    ledgerOwed: () => ledger.owedCount,
    bank: () => bank.stats,
    droppedLogLines,
  });
  metrics.show(gauges);
}
