// Plays the dispatcher forward on a copy: the order in which queued jobs will start, and how long each is likely to wait.

import type { FairQueue, Running } from './fair-queue.ts';
import type { DurationSampler } from './holding-spread.ts';
import { IndexedHeap } from './indexed-heap.ts';
import type { QueuedJob } from './lane.ts';
import { quantileOf } from './quantile.ts';
import type { Slot, SlotTable } from './slot-table.ts';

export interface RunningSince extends Running {
  readonly startedAtMs: number;
}

export interface PlayInput {
  queue: FairQueue;
  slots: SlotTable;
  running: readonly RunningSince[];
  nowMs: number;
  sampler: DurationSampler;
  /** Most starts to play. */
  maxStarts: number;
}

/** A start in the order of play, with the slots that could have served it. */
export interface PlannedStart {
  readonly job: QueuedJob;
  readonly slots: readonly Slot[];
}

/** A waiting time as its median and its 90th percentile, counted from now. */
export interface WaitQuantiles {
  p50Ms: number;
  p90Ms: number;
}

interface Event {
  readonly atMs: number;
  readonly order: number;
  readonly apply: () => void;
}

export interface Play {
  starts: PlannedStart[];
  /** What still waits after the last start that was played. */
  rest: { queued: number; workMs: number; activeWeight: number };
}

/** The order in which jobs start if each runs as long as is usual for its estimate. Uses the very queue that dispatches. */
export function playForward({ queue, slots, running, nowMs, sampler, maxStarts }: PlayInput): Play {
  const copiedSlots = slots.copy();
  const copy = queue.copy(copiedSlots, { starts: maxStarts, running });
  const events = new IndexedHeap<Event>({ keyOf: ({ atMs }) => atMs, isBefore: (a, b) => a.order < b.order });
  let order = 0;
  const endAt = (run: Running, atMs: number, heldMs: number): void => {
    events.push({ atMs, order: ++order, apply: () => copy.end(run, heldMs) });
  };
  for (const lease of running) {
    const slot = copiedSlots.get(lease.slot.slotId);
    const client = copy.client(lease.client.clientId);
    if (slot === undefined || client === undefined) continue;
    const heldMs = Math.max(lease.job.estimateMs * sampler.meanRatio, nowMs - lease.startedAtMs);
    endAt({ ...lease, slot, client }, lease.startedAtMs + heldMs, heldMs);
  }
  for (const slot of copiedSlots.values()) {
    if (slot.isAvailable || slot.availableAtMs === Number.POSITIVE_INFINITY) continue;
    events.push({
      atMs: Math.max(nowMs, slot.availableAtMs),
      order: ++order,
      apply: () => {
        slot.isAvailable = true;
      },
    });
  }

  const starts: PlannedStart[] = [];
  let leaseId = Number.MAX_SAFE_INTEGER;
  for (let atMs = nowMs; starts.length < maxStarts;) {
    const pick = copy.pickNext();
    if (pick !== undefined) {
      const run = copy.start(pick.lane, pick.slot, leaseId--);
      starts.push({ job: run.job, slots: pick.lane.classState.slots });
      const heldMs = run.job.estimateMs * sampler.meanRatio;
      endAt(run, atMs + heldMs, heldMs);
      continue;
    }
    const event = events.pop();
    if (event === undefined || copy.queued === 0) break;
    atMs = event.atMs;
    event.apply();
  }
  return {
    starts,
    rest: { queued: copy.queued, workMs: copy.queuedWorkMs, activeWeight: copy.activeWeight },
  };
}

export interface SpreadInput {
  starts: readonly PlannedStart[];
  slots: SlotTable;
  running: readonly RunningSince[];
  nowMs: number;
  sampler: DurationSampler;
  random: () => number;
}

const REPLAYS = 32;

/**
 * Waiting times of planned starts. The order hardly depends on the exact durations, so it is kept, and only durations
 * are drawn anew from what was seen, many times over: each job takes the slot of its class that is free first.
 */
export function spreadOfStarts({ starts, slots, running, nowMs, sampler, random }: SpreadInput): WaitQuantiles[] {
  const slotIndex = new Map([...slots.values()].map((slot, index) => [slot.slotId, index]));
  const candidates = new Map<readonly Slot[], Int32Array>();
  const indexesOf = (of: readonly Slot[]): Int32Array => {
    const known = candidates.get(of) ?? Int32Array.from(of.flatMap(({ slotId }) => slotIndex.get(slotId) ?? []));
    candidates.set(of, known);
    return known;
  };
  const waits = new Float64Array(starts.length * REPLAYS);
  for (let replay = 0; replay < REPLAYS; replay += 1) {
    const freeAtMs = Float64Array.from([...slots.values()], (slot) =>
      slot.isAvailable ? 0 : Math.max(0, slot.availableAtMs - nowMs),
    );
    for (const { job, slot, startedAtMs } of running) {
      const index = slotIndex.get(slot.slotId);
      if (index === undefined) continue;
      const restMs = sampler.drawRestMs(job.estimateMs, nowMs - startedAtMs, random());
      freeAtMs[index] = Math.max(freeAtMs[index] as number, restMs);
    }
    for (const [number, start] of starts.entries()) {
      let chosen = -1;
      let earliestMs = Number.POSITIVE_INFINITY;
      for (const index of indexesOf(start.slots)) {
        if ((freeAtMs[index] as number) < earliestMs) {
          earliestMs = freeAtMs[index] as number;
          chosen = index;
        }
      }
      waits[number * REPLAYS + replay] = earliestMs;
      if (chosen >= 0) freeAtMs[chosen] = earliestMs + sampler.drawMs(start.job.estimateMs, random());
    }
  }
  return starts.map((_, number) => {
    const sorted = waits.subarray(number * REPLAYS, (number + 1) * REPLAYS).toSorted();
    return { p50Ms: quantileOf(sorted, 0.5), p90Ms: quantileOf(sorted, 0.9) };
  });
}
