// What the scheduler costs at 10,000 clients and 100,000 queued jobs, and whether 5,000 short-lived clients leave anything behind.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { FairScheduler } from '../src/scheduler/fair-scheduler.ts';
import type { Assignment } from '../src/scheduler/fair-scheduler.ts';
import { quantileOf } from '../src/scheduler/quantile.ts';
import { createSeededRandom } from '../src/scheduler/seeded-random.ts';

const CLIENTS = 10_000;
const JOBS_PER_CLIENT = 10;
const SLOTS = 8;
const CLASS_KEYS = ['free', 'paid', 'stream', 'upscale'];
const WARM_UP_ROUNDS = 3_000;
const ROUNDS = 20_000;
const TRIES = 3;
const CANCELS = 5_000;
const CHURN_CLIENTS = 5_000;

export interface CostResult {
  queued: number;
  submitMeanUs: number;
  dispatchMeanUs: number;
  dispatchP99Us: number;
  releaseMeanUs: number;
  cancelMs: number;
  forecastMs: number;
  forecastAllMs: number;
  churnClientsLeft: number;
  churnBytesLeft: number;
}

interface Loaded {
  scheduler: FairScheduler;
  clock: { nowMs: number };
  running: Assignment[];
}

/** Measures with the real clock; the scheduler's own clock is wound by hand. */
export function measureCost(): CostResult {
  const { loaded, submitMeanUs, queued } = load();
  // Other programs on the machine can only make it slower: the best of three is nearest to its own cost.
  const tries = Array.from({ length: TRIES }, (_, index) => measureDispatch(loaded, index + 1));
  const costs = tries.reduce((best, each) => (each.dispatchP99Us < best.dispatchP99Us ? each : best));
  const forecasts = measureForecast(loaded);
  const cancelMs = measureCancel(loaded.scheduler);
  return { queued, submitMeanUs, ...costs, ...forecasts, cancelMs, ...measureChurn() };
}

function load(): { loaded: Loaded; submitMeanUs: number; queued: number } {
  const clock = { nowMs: 0 };
  const scheduler = new FairScheduler({ nowMs: () => clock.nowMs, maxQueued: CLIENTS * JOBS_PER_CLIENT + CLIENTS });
  for (let slot = 0; slot < SLOTS; slot += 1) {
    const canPay = slot % 2 === 0;
    const canServe = (classKey: string) => classKey !== 'paid' || canPay;
    scheduler.addSlot(`slot ${slot}`, { capability: canPay ? 2 : 1, canServe });
  }
  const random = createSeededRandom(1);
  const startedMs = performance.now();
  for (let job = 0; job < JOBS_PER_CLIENT; job += 1) {
    for (let client = 0; client < CLIENTS; client += 1) {
      scheduler.submit({
        jobId: `${client}/${job}`,
        clientId: `client ${client}`,
        classKey: CLASS_KEYS[(client + job) % CLASS_KEYS.length] ?? 'free',
        estimateMs: 3_000 + random() * 27_000,
        band: client % 5 === 0 ? 'batch' : 'interactive',
        deadlineMs: 1e9 + random() * 1e8,
      });
    }
  }
  const submitMeanUs = ((performance.now() - startedMs) * 1000) / (CLIENTS * JOBS_PER_CLIENT);
  const { queued } = scheduler.stats;
  return { loaded: { scheduler, clock, running: scheduler.dispatch() }, submitMeanUs, queued };
}

function measureDispatch({ scheduler, clock, running }: Loaded, number: number) {
  const dispatchUs = new Float64Array(ROUNDS);
  let releaseUs = 0;
  for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round += 1) {
    const ended = running.shift();
    if (ended === undefined) throw new Error('The scheduler ran out of work: this measures nothing.');
    clock.nowMs += 1_000;
    const beforeMs = performance.now();
    scheduler.release(ended.slotId, { leaseId: ended.leaseId, heldMs: 5_000 });
    const releasedMs = performance.now();
    const assignments = scheduler.dispatch();
    const afterMs = performance.now();
    if (round >= 0) {
      releaseUs += (releasedMs - beforeMs) * 1000;
      dispatchUs[round] = (afterMs - releasedMs) * 1000;
    }
    if (assignments.length !== 1)
      throw new Error(`Expected one assignment for one freed slot, got ${assignments.length}.`);
    running.push(...assignments);
    // What left is made up for, so that the queue stays as long as it is said to be.
    const [first] = assignments;
    if (first !== undefined) {
      const job = {
        classKey: CLASS_KEYS[(round + WARM_UP_ROUNDS) % CLASS_KEYS.length] ?? 'free',
        estimateMs: 5_000,
        deadlineMs: 1e9,
      };
      scheduler.submit({ jobId: `more ${number} ${round}`, clientId: first.clientId, band: 'interactive', ...job });
    }
  }
  const meanUs = dispatchUs.reduce((sum, each) => sum + each, 0) / ROUNDS;
  return {
    dispatchMeanUs: meanUs,
    dispatchP99Us: quantileOf(dispatchUs.toSorted(), 0.99),
    releaseMeanUs: releaseUs / ROUNDS,
  };
}

function measureForecast({ scheduler, clock }: Loaded) {
  clock.nowMs += 10_000;
  const beforeMs = performance.now();
  const forecast = scheduler.forecast(`more ${TRIES} ${ROUNDS - 1}`);
  const forecastMs = performance.now() - beforeMs;
  if (forecast === undefined) throw new Error('The newest job is not queued: no forecast was made.');
  clock.nowMs += 10_000;
  const againMs = performance.now();
  const all = scheduler.forecastAll();
  const forecastAllMs = performance.now() - againMs;
  if (all.size !== scheduler.stats.queued) throw new Error(`Forecast ${all.size} of ${scheduler.stats.queued} jobs.`);
  return { forecastMs, forecastAllMs };
}

function measureCancel(scheduler: FairScheduler): number {
  const before = scheduler.stats.queued;
  const startedMs = performance.now();
  for (let client = 0, cancelled = 0; cancelled < CANCELS; client += 1) {
    if (scheduler.cancel(`${client}/${JOBS_PER_CLIENT - 1}`) === 'queued') cancelled += 1;
    if (client > CLIENTS) throw new Error(`Only ${cancelled} of ${CANCELS} jobs were there to cancel.`);
  }
  const tookMs = performance.now() - startedMs;
  if (before - scheduler.stats.queued !== CANCELS) throw new Error('Cancelled jobs are still queued.');
  return tookMs;
}

function measureChurn(): { churnClientsLeft: number; churnBytesLeft: number } {
  const clock = { nowMs: 0 };
  const scheduler = new FairScheduler({ nowMs: () => clock.nowMs, maxQueued: 100 });
  for (let slot = 0; slot < 4; slot += 1) scheduler.addSlot(`slot ${slot}`, { capability: 1, canServe: () => true });
  const oneRound = (name: string): void => {
    for (let client = 0; client < CHURN_CLIENTS; client += 1) {
      const job = { classKey: 'free', estimateMs: 1_000, band: 'interactive', deadlineMs: clock.nowMs + 1e6 } as const;
      scheduler.submit({ jobId: `${name} ${client}`, clientId: `${name} client ${client}`, ...job });
      clock.nowMs += 1_000;
      for (const { slotId, leaseId } of scheduler.dispatch()) scheduler.release(slotId, { leaseId });
    }
  };
  oneRound('warm-up');
  const before = usedBytes();
  oneRound('measured');
  const churnBytesLeft = usedBytes() - before;
  return { churnClientsLeft: scheduler.stats.clients, churnBytesLeft };
}

function usedBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect: () => void = runInNewContext('gc');
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}
