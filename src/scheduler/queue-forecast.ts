// When queued jobs will start: a picture made at most once a second by playing the dispatcher forward, corrected by experience.

import type { FairQueue } from './fair-queue.ts';
import { ForecastCalibration } from './forecast-calibration.ts';
import { HoldingSpread } from './holding-spread.ts';
import { isJobBefore } from './lane.ts';
import { Overtaking } from './overtaking.ts';
import type { QueuedJob } from './lane.ts';
import { playForward, spreadOfStarts } from './play-forward.ts';
import type { PlannedStart, Play, RunningSince, WaitQuantiles } from './play-forward.ts';
import type { Forecast } from './scheduler-types.ts';
import { createSeededRandom } from './seeded-random.ts';
import type { SlotTable } from './slot-table.ts';
import { countUsableSlots, estimateTurnMs, estimateWaitMs, flowMs } from './wait-estimate.ts';

const SHORTEST_INTERVAL_MS = 1_000;
/** Most starts played; what lies deeper is worked out from the rates (wait-estimate). */
const MAX_STARTS = 300;
/** A picture of a very long queue is made seldom enough to take at most a twentieth of the time. */
const INTERVAL_PER_COST = 20;
/** Of what lies deeper only the rates are known. */
const DEEP_P90_RATIO = 1.1;
/** Below this a wait is as good as none, and ratios of waits mean nothing. */
const SHORTEST_WAIT_MS = 250;

interface Picture {
  atMs: number;
  goodUntilMs: number;
  waits: Map<string, WaitQuantiles & { position: number }>;
  /** Factor for later arrivals; the waits are stretched already. */
  stretch: number;
  /** Wait of the last start played. */
  lastWaitMs: number;
  /** What still waits after it. */
  rest: Play['rest'];
  /** Newest job the picture knows. */
  lastSequence: number;
  /** By client, filled when asked for: own work ahead of each job too deep for the picture. */
  workAhead: Map<string, Map<string, number>>;
}

interface QueueForecastOptions {
  queue: FairQueue;
  slots: SlotTable;
  nowMs: () => number;
}

export class QueueForecast {
  readonly #queue: FairQueue;
  readonly #slots: SlotTable;
  readonly #nowMs: () => number;
  readonly #spread = new HoldingSpread();
  readonly #overtaking = new Overtaking();
  readonly #calibration = new ForecastCalibration();
  readonly #random = createSeededRandom(1);
  #lastSequence = 0;
  #picture: Picture = {
    atMs: 0,
    goodUntilMs: Number.NEGATIVE_INFINITY,
    waits: new Map(),
    lastWaitMs: 0,
    stretch: 1,
    rest: { queued: 0, workMs: 0, activeWeight: 0 },
    lastSequence: 0,
    workAhead: new Map(),
  };

  constructor({ queue, slots, nowMs }: QueueForecastOptions) {
    this.#queue = queue;
    this.#slots = slots;
    this.#nowMs = nowMs;
  }

  /** A job was queued; `isAlone` = its client had nothing else waiting. */
  observeArrival({ estimateMs, sequence }: QueuedJob, { isAlone, nowMs }: { isAlone: boolean; nowMs: number }): void {
    this.#lastSequence = sequence;
    if (isAlone) this.#overtaking.observeArrival(estimateMs, nowMs);
  }

  /** A job started: its forecasts are compared with the truth. */
  observeStart(job: QueuedJob, nowMs: number): void {
    for (const promised of job.promises ?? []) this.#calibration.observe(promised, nowMs - promised.atMs);
  }

  /** A job ended after holding its slot for `heldMs`. */
  observeHolding(estimateMs: number, heldMs: number): void {
    this.#spread.observe(estimateMs, heldMs);
  }

  of(job: QueuedJob, nowMs: number, running: () => Iterable<RunningSince>): Forecast {
    if (nowMs >= this.#picture.goodUntilMs) this.#paint(nowMs, running);
    const seen = this.#picture.waits.get(job.jobId);
    if (seen === undefined) {
      const ownWorkMs = this.#workAhead(job.clientId).get(job.jobId);
      return ownWorkMs === undefined ? this.#young(job) : this.#deep(job, ownWorkMs);
    }
    const passedMs = nowMs - this.#picture.atMs;
    const { etaP50Ms, etaP90Ms } = this.#calibration.apply(seen.p50Ms, seen.p90Ms);
    return {
      position: seen.position,
      etaP50Ms: Math.max(0, etaP50Ms - passedMs),
      etaP90Ms: Math.max(0, etaP90Ms - passedMs),
    };
  }

  #paint(nowMs: number, running: () => Iterable<RunningSince>): void {
    const sampler = this.#spread.sampler();
    const common = { slots: this.#slots, running: [...running()], nowMs, sampler };
    const { starts, rest } = playForward({ ...common, queue: this.#queue, maxStarts: MAX_STARTS });
    const spread = spreadOfStarts({ ...common, starts, random: this.#random });
    const waits = new Map<string, WaitQuantiles & { position: number }>();
    const stretch = this.#overtaking.stretch(this.#slots.countUsable(), nowMs);
    for (const [index, { job }] of starts.entries()) {
      const { p50Ms, p90Ms } = spread[index] as WaitQuantiles;
      const wait = {
        p50Ms: Math.max(SHORTEST_WAIT_MS, p50Ms * stretch),
        p90Ms: Math.max(SHORTEST_WAIT_MS, p90Ms * stretch),
      };
      waits.set(job.jobId, { ...wait, position: index + 1 });
    }
    this.#followUp(starts, waits, nowMs);
    const costMs = this.#nowMs() - nowMs;
    const goodUntilMs = nowMs + Math.max(SHORTEST_INTERVAL_MS, INTERVAL_PER_COST * costMs);
    // Fewer starts than asked for: whatever was not reached has no slot in sight.
    const lastWaitMs = starts.length < MAX_STARTS ? Number.POSITIVE_INFINITY : (spread.at(-1)?.p50Ms ?? 0) * stretch;
    this.#picture = {
      atMs: nowMs,
      goodUntilMs,
      waits,
      lastWaitMs,
      stretch,
      rest,
      lastSequence: this.#lastSequence,
      workAhead: new Map(),
    };
  }

  /** Picks the jobs whose forecasts will be compared with the truth: at most one of each depth, any of that depth. */
  #followUp(starts: readonly PlannedStart[], waits: Picture['waits'], nowMs: number): void {
    const byDepth = Map.groupBy(starts, ({ job }) => this.#calibration.depthOf(waits.get(job.jobId)?.p50Ms ?? 0));
    for (const depth of this.#calibration.takeDue(new Set(byDepth.keys()), nowMs)) {
      const candidates = byDepth.get(depth) ?? [];
      const job = candidates[Math.floor(this.#random() * candidates.length)]?.job;
      const wait = waits.get(job?.jobId ?? '');
      if (job === undefined || wait === undefined || wait.p90Ms === Number.POSITIVE_INFINITY) continue;
      job.promises ??= [];
      job.promises.push({ atMs: nowMs, depth, p50Ms: wait.p50Ms, p90Ms: wait.p90Ms });
    }
  }

  /** A job younger than the picture: by the flow of all that waits. */
  #young({ clientId, classKey }: QueuedJob): Forecast {
    const waitMs = this.#picture.stretch * estimateWaitMs(this.#queue, clientId, classKey);
    const turnMs = estimateTurnMs(this.#queue, classKey);
    const position = Math.min(this.#queue.queued, 1 + Math.round(waitMs / Math.max(1, turnMs)));
    return { position, ...this.#calibration.apply(waitMs, waitMs + turnMs) };
  }

  /** A job too deep for the picture: from its last start on by the flow of what then still waits. */
  #deep({ clientId, classKey }: QueuedJob, ownWorkMs: number): Forecast {
    const { lastWaitMs, rest, stretch, waits } = this.#picture;
    const slotCount = countUsableSlots(this.#queue, classKey);
    const { weight } = this.#queue.policyOf(clientId);
    const beyondMs = flowMs(rest, { ownWorkMs, weight, slotCount });
    const waitMs = lastWaitMs + stretch * beyondMs;
    const part = rest.workMs > 0 ? (beyondMs * slotCount) / rest.workMs : 0;
    const position = waits.size + 1 + Math.round(part * Math.max(0, rest.queued - 1));
    return { position, ...this.#calibration.apply(waitMs, waitMs * DEEP_P90_RATIO) };
  }

  /** Of each job too deep for the picture the client's own work before it; put together once for each picture and client. */
  #workAhead(clientId: string): Map<string, number> {
    const known = this.#picture.workAhead.get(clientId);
    if (known !== undefined) return known;
    const jobs = (this.#queue.client(clientId)?.lanes ?? []).flatMap((lane) => lane.jobs.items);
    const deep = jobs.filter(
      ({ jobId, sequence }) => sequence <= this.#picture.lastSequence && !this.#picture.waits.has(jobId),
    );
    const aheadMs = new Map<string, number>();
    let sumMs = 0;
    for (const { jobId, estimateMs } of deep.toSorted((a, b) => (isJobBefore(a, b) ? -1 : 1))) {
      aheadMs.set(jobId, sumMs);
      sumMs += estimateMs;
    }
    this.#picture.workAhead.set(clientId, aheadMs);
    return aheadMs;
  }
}
