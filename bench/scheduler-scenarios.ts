// The scheduler's trials in simulated time: shares by weight, a flood, forecasts against the truth. Seeded: they come out the same each time.

import { FairScheduler } from '../src/scheduler/fair-scheduler.ts';
import { HoldingTimeEstimates } from '../src/scheduler/estimates.ts';
import { quantileOf } from '../src/scheduler/quantile.ts';
import { createSeededRandom } from '../src/scheduler/seeded-random.ts';
import { FifoScheduler, SimulatedWorld, Workshop } from './scheduler-simulation.ts';
import type { Run, SlotSharer } from './scheduler-simulation.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const NO_LIMITS = { maxQueued: Number.POSITIVE_INFINITY, maxInFlight: Number.POSITIVE_INFINITY };

/** A fair scheduler with `slotCount` equal slots in the world's time. */
export function createFairScheduler(world: SimulatedWorld, slotCount: number): FairScheduler {
  const scheduler = new FairScheduler({ nowMs: () => world.nowMs, maxQueued: Number.POSITIVE_INFINITY });
  for (let slot = 1; slot <= slotCount; slot += 1)
    scheduler.addSlot(`slot ${slot}`, { capability: 1, canServe: () => true });
  return scheduler;
}

export interface SharesResult {
  /** Each client's part of all slot time, and what its weight entitles it to. */
  shares: { clientId: string; weight: number; share: number; entitled: number }[];
  /** Greatest |share - entitled| / entitled. */
  worstShareError: number;
  /** Greatest unfairness of any pair over any interval as a part of its SFQ(D) bound. */
  worstOfBound: number;
  worstPair: { pair: string; unfairnessMs: number; boundMs: number };
  runs: Run[];
}

export interface SharesOptions {
  weights: readonly number[];
  slotCount: number;
  seconds: number;
  shortestMs: number;
  longestMs: number;
  seed: number;
  /** What the scheduler is told of each duration: the truth, or always the same guess. */
  guessMs?: number;
  createScheduler?: (world: SimulatedWorld, slotCount: number) => SlotSharer & Pick<FairScheduler, 'setClient'>;
}

/** Clients that always have work waiting, on equal slots: who got how much? */
export function runShares(options: SharesOptions): SharesResult {
  const { weights, slotCount, seconds, shortestMs, longestMs, seed, guessMs } = options;
  const world = new SimulatedWorld();
  const random = createSeededRandom(seed);
  const scheduler = (options.createScheduler ?? createFairScheduler)(world, slotCount);
  const order = (clientId: string) => {
    const durationMs = shortestMs + random() * (longestMs - shortestMs);
    return { clientId, durationMs, estimateMs: guessMs ?? durationMs };
  };
  const workshop = new Workshop({ world, scheduler, onStart: (run) => workshop.enter(order(run.clientId)) });
  const clients = weights.map((weight, index) => ({ clientId: `client ${index + 1}`, weight }));
  for (const { clientId, weight } of clients) {
    scheduler.setClient(clientId, { weight, ...NO_LIMITS });
    for (let job = 0; job < slotCount + 1; job += 1) workshop.enter(order(clientId));
  }
  workshop.dispatch();
  const endMs = seconds * 1000;
  world.runUntil(endMs);
  const runs = workshop.runs.filter((run) => run.startedAtMs < endMs);
  const service = clients.map(({ clientId }) => serviceOf(runs, clientId, endMs));
  const all = service.reduce((sum, each) => sum + each, 0);
  const allWeight = weights.reduce((sum, weight) => sum + weight, 0);
  const shares = clients.map((client, index) => ({
    ...client,
    share: (service[index] as number) / all,
    entitled: client.weight / allWeight,
  }));
  const worstShareError = Math.max(...shares.map(({ share, entitled }) => Math.abs(share - entitled) / entitled));
  const worstPair = worstUnfairness(runs, clients, { slotCount, endMs });
  return { shares, worstShareError, worstPair, worstOfBound: worstPair.unfairnessMs / worstPair.boundMs, runs };
}

function serviceOf(runs: readonly Run[], clientId: string, endMs: number): number {
  let sumMs = 0;
  for (const run of runs) {
    if (run.clientId === clientId) sumMs += Math.min(run.startedAtMs + run.durationMs, endMs) - run.startedAtMs;
  }
  return sumMs;
}

/**
 * Standing-backlog unfairness: over which interval was one client of a pair ahead of the other by most, in slot time
 * per weight? |W_f/w_f - W_g/w_g| over any interval is the range of that difference over time, and the difference bends
 * only where a job starts or ends. Given for the pair that comes closest to its bound,
 * (D + 1) · (c_f/w_f + c_g/w_g) with D slots and the longest job c of each (SFQ(D): Jin, Chase, Kaur, SIGMETRICS 2004, after Goyal 1996).
 */
export function worstUnfairness(
  runs: readonly Run[],
  clients: readonly { clientId: string; weight: number }[],
  { slotCount, endMs }: { slotCount: number; endMs: number },
): { pair: string; unfairnessMs: number; boundMs: number } {
  const index = new Map(clients.map(({ clientId }, at) => [clientId, at]));
  const changes = runs.flatMap((run) => {
    const client = index.get(run.clientId) ?? -1;
    const endedAtMs = Math.min(run.startedAtMs + run.durationMs, endMs);
    return [
      { atMs: run.startedAtMs, client, step: 1 },
      { atMs: endedAtMs, client, step: -1 },
    ];
  });
  const sorted = changes.toSorted((a, b) => a.atMs - b.atMs);
  const longestMs = clients.map(({ clientId }) =>
    Math.max(
      0,
      ...runs.filter((run) => run.clientId === clientId).map((run) => Math.max(run.durationMs, run.estimateMs)),
    ),
  );
  let worst = { pair: '', unfairnessMs: 0, boundMs: Number.POSITIVE_INFINITY };
  for (const [f, first] of clients.entries()) {
    for (const [g, second] of clients.entries()) {
      if (g <= f) continue;
      const unfairnessMs = rangeOfDifference(sorted, { f, g, wf: first.weight, wg: second.weight });
      const boundMs =
        (slotCount + 1) * ((longestMs[f] as number) / first.weight + (longestMs[g] as number) / second.weight);
      if (unfairnessMs / boundMs > worst.unfairnessMs / worst.boundMs) {
        worst = { pair: `${first.clientId} and ${second.clientId}`, unfairnessMs, boundMs };
      }
    }
  }
  return worst;
}

function rangeOfDifference(
  changes: readonly { atMs: number; client: number; step: number }[],
  { f, g, wf, wg }: { f: number; g: number; wf: number; wg: number },
): number {
  let slope = 0;
  let lastMs = 0;
  let difference = 0;
  let least = 0;
  let greatest = 0;
  for (const { atMs, client, step } of changes) {
    if (client !== f && client !== g) continue;
    difference += slope * (atMs - lastMs);
    lastMs = atMs;
    least = Math.min(least, difference);
    greatest = Math.max(greatest, difference);
    slope += client === f ? step / wf : -step / wg;
  }
  return greatest - least;
}

export interface FloodOptions {
  slotCount: number;
  lightClients: number;
  /** Each light client sends a job on average this often, at random. */
  lightEveryMs: number;
  hours: number;
  seed: number;
}

export interface FloodResult {
  /** Waits of the light clients' jobs, sorted; of those still waiting at the end the wait so far. */
  lightWaitsMs: Float64Array;
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
  /** Work that arrived over what the slots can do; above 1 the queue must grow. */
  load: number;
  /** Part of the slot time that was used. */
  utilisation: number;
  lightRuns: Run[];
}

const FLOOD_JOBS = 300;
const FLOOD_JOB_MS = 25_000;
const FLOOD_EVERY_MS = 30 * MINUTE_MS;
const LIGHT_SHORTEST_MS = 3_000;
const LIGHT_LONGEST_MS = 8_000;

/** One client drops 300 jobs of 25 s at once every half hour; the light ones send a short job now and then. */
export function runFlood(
  { slotCount, lightClients, lightEveryMs, hours, seed }: FloodOptions,
  policy: 'fair' | 'fifo',
): FloodResult {
  const world = new SimulatedWorld();
  const random = createSeededRandom(seed);
  const slotIds = Array.from({ length: slotCount }, (_, index) => `slot ${index + 1}`);
  const scheduler = policy === 'fair' ? createFairScheduler(world, slotCount) : new FifoScheduler(slotIds);
  const workshop = new Workshop({ world, scheduler });
  const endMs = hours * HOUR_MS;
  let arrivedMs = 0;
  for (let atMs = 0; atMs < endMs; atMs += FLOOD_EVERY_MS) {
    arrivedMs += FLOOD_JOBS * FLOOD_JOB_MS;
    world.at(atMs, () => {
      for (let job = 0; job < FLOOD_JOBS; job += 1) workshop.enter({ clientId: 'flood', durationMs: FLOOD_JOB_MS });
      workshop.dispatch();
    });
  }
  for (let client = 1; client <= lightClients; client += 1) {
    for (let atMs = nextGapMs(random, lightEveryMs); atMs < endMs; atMs += nextGapMs(random, lightEveryMs)) {
      const durationMs = LIGHT_SHORTEST_MS + random() * (LIGHT_LONGEST_MS - LIGHT_SHORTEST_MS);
      arrivedMs += durationMs;
      world.at(atMs, () => workshop.submit({ clientId: `light ${client}`, durationMs }));
    }
  }
  world.runUntil(endMs);
  const lightRuns = workshop.runs.filter((run) => run.clientId !== 'flood');
  const waits = lightRuns.map((run) => (Number.isNaN(run.startedAtMs) ? endMs : run.startedAtMs) - run.submittedAtMs);
  const lightWaitsMs = Float64Array.from(waits).toSorted();
  const busyMs = workshop.runs.reduce(
    (sum, run) =>
      Number.isNaN(run.startedAtMs) ? sum : sum + Math.min(endMs, run.startedAtMs + run.durationMs) - run.startedAtMs,
    0,
  );
  return {
    lightWaitsMs,
    p50Ms: quantileOf(lightWaitsMs, 0.5),
    p99Ms: quantileOf(lightWaitsMs, 0.99),
    maxMs: quantileOf(lightWaitsMs, 1),
    load: arrivedMs / (slotCount * endMs),
    utilisation: busyMs / (slotCount * endMs),
    lightRuns,
  };
}

function nextGapMs(random: () => number, meanMs: number): number {
  return -Math.log(1 - random()) * meanMs;
}

export interface ForecastTrial {
  name: string;
  slotCount: number;
  hours: number;
  seed: number;
  /** Clients that drop a batch of jobs now and then. */
  batchClients: number;
  batchSize: number;
  batchEveryMs: number;
  /** Clients that send single jobs. */
  singleClients: number;
  singleEveryMs: number;
}

export interface ForecastResult {
  name: string;
  forecasts: number;
  /** Median of |actual - p50| / actual. */
  medianError: number;
  /** Median of actual / p50: 1 = no bias. */
  medianRatio: number;
  /** Part of the waits that ended within the p90. */
  coverageP90: number;
  pairs: { forecastMs: number; p90Ms: number; actualMs: number }[];
}

const WARM_UP_MS = 30 * MINUTE_MS;
const ASK_EVERY_MS = 10_000;
const ASK_JOBS = 12;
/** Forecasts shorter than this count for the p90 only: the error of a second over a second says nothing. */
const SHORTEST_JUDGED_MS = 2_000;

/**
 * Forecasts asked for as a page would, compared with what came true. Durations scatter by a quarter about a mean which
 * the scheduler has to learn (HoldingTimeEstimates) and later arrivals overtake, so the truth is not in the input.
 */
export function runForecasts(trial: ForecastTrial): ForecastResult {
  const world = new SimulatedWorld();
  const random = createSeededRandom(trial.seed);
  const scheduler = createFairScheduler(world, trial.slotCount);
  const estimates = new HoldingTimeEstimates();
  const workloads = new Map<string, ReturnType<typeof drawWorkload>>();
  const workshop = new Workshop({
    world,
    scheduler,
    onEnd: (run) => {
      const workload = workloads.get(run.jobId);
      if (workload !== undefined) estimates.record(workload, run.durationMs);
    },
  });
  const enter = (clientId: string): void => {
    const workload = drawWorkload(random);
    const durationMs = drawDurationMs(workload, random);
    const jobId = workshop.enter({ clientId, durationMs, estimateMs: estimates.estimate(workload).p50Ms });
    if (jobId !== undefined) workloads.set(jobId, workload);
  };
  const endMs = trial.hours * HOUR_MS;
  const arrive = (clientId: string, everyMs: number, count: number): void => {
    for (let atMs = nextGapMs(random, everyMs); atMs < endMs; atMs += nextGapMs(random, everyMs)) {
      world.at(atMs, () => {
        for (let job = 0; job < count; job += 1) enter(clientId);
        workshop.dispatch();
      });
    }
  };
  for (let client = 1; client <= trial.batchClients; client += 1)
    arrive(`batch ${client}`, trial.batchEveryMs, trial.batchSize);
  for (let client = 1; client <= trial.singleClients; client += 1) arrive(`single ${client}`, trial.singleEveryMs, 1);

  const asked: { jobId: string; atMs: number; p50Ms: number; p90Ms: number }[] = [];
  for (let atMs = WARM_UP_MS; atMs < endMs; atMs += ASK_EVERY_MS) {
    world.at(atMs, () => {
      const all = [...scheduler.forecastAll()];
      for (let ask = 0; ask < Math.min(ASK_JOBS, all.length); ask += 1) {
        const [jobId, { etaP50Ms, etaP90Ms }] = all[Math.floor(random() * all.length)] as (typeof all)[number];
        asked.push({ jobId, atMs, p50Ms: etaP50Ms, p90Ms: etaP90Ms });
      }
    });
  }
  world.runUntil(endMs);
  return judge(trial.name, asked, workshop);
}

function judge(
  name: string,
  asked: readonly { jobId: string; atMs: number; p50Ms: number; p90Ms: number }[],
  workshop: Workshop,
): ForecastResult {
  const judged = asked.flatMap(({ jobId, atMs, p50Ms, p90Ms }) => {
    const actualMs = (workshop.run(jobId)?.startedAtMs ?? Number.NaN) - atMs;
    return actualMs >= 0 ? [{ p50Ms, p90Ms, actualMs }] : [];
  });
  const longer = judged.filter(({ p50Ms }) => p50Ms >= SHORTEST_JUDGED_MS);
  const errors = Float64Array.from(
    longer,
    ({ p50Ms, actualMs }) => Math.abs(actualMs - p50Ms) / Math.max(1, actualMs),
  ).toSorted();
  const ratios = Float64Array.from(longer, ({ p50Ms, actualMs }) => actualMs / p50Ms).toSorted();
  return {
    name,
    forecasts: judged.length,
    medianError: quantileOf(errors, 0.5),
    medianRatio: quantileOf(ratios, 0.5),
    coverageP90: judged.filter(({ p90Ms, actualMs }) => actualMs <= p90Ms).length / judged.length,
    pairs: judged.map(({ p50Ms, p90Ms, actualMs }) => ({ forecastMs: p50Ms, p90Ms, actualMs })),
  };
}

const TRUE_MEANS_MS = [4_000, 7_000, 12_000, 22_000];
const SCATTER = 0.25;

function drawWorkload(random: () => number) {
  const size = Math.floor(random() * TRUE_MEANS_MS.length);
  return { kind: 'generate', model: `model ${size}`, pixels: 832 * 1216, steps: 23 + size, samples: 1, size };
}

/** Log-normal about the mean of its size. */
function drawDurationMs({ size }: { size: number }, random: () => number): number {
  const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  return (TRUE_MEANS_MS[size] as number) * Math.exp(SCATTER * normal);
}
