// I4 in simulated time: shares by weight, the unfairness bound, max-min fair allocations, short waits beside a flood; and unfair schedulers that must be caught.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { runShares } from '../../../bench/scheduler-scenarios.ts';
import type { SharesOptions } from '../../../bench/scheduler-scenarios.ts';
import { FifoScheduler, SimulatedWorld, Workshop } from '../../../bench/scheduler-simulation.ts';
import type { SlotSharer } from '../../../bench/scheduler-simulation.ts';
import { FairScheduler } from '../../../src/scheduler/fair-scheduler.ts';
import type { ClientPolicy } from '../../../src/scheduler/fair-scheduler.ts';
import { createSeededRandom } from '../../../src/scheduler/seeded-random.ts';
import { fairAllocation } from './max-min-fair.ts';
import { serveAll } from './scheduler-under-test.ts';

type Create = (world: SimulatedWorld, slotCount: number) => FairScheduler;

function withSlots<Scheduler extends FairScheduler>(scheduler: Scheduler, slotCount: number): Scheduler {
  for (let slot = 0; slot < slotCount; slot += 1) scheduler.addSlot(`slot ${slot}`, serveAll);
  return scheduler;
}

const createFair: Create = (world, slotCount) =>
  withSlots(new FairScheduler({ nowMs: () => world.nowMs, maxQueued: 10_000 }), slotCount);

/** Takes everybody's weight for 1. */
class IgnoresWeights extends FairScheduler {
  override setClient(clientId: string, policy: ClientPolicy): void {
    super.setClient(clientId, { ...policy, weight: 1 });
  }
}

const createUnweighted: Create = (world, slotCount) =>
  withSlots(new IgnoresWeights({ nowMs: () => world.nowMs, maxQueued: 10_000 }), slotCount);

/** Never learns how long a job really held its slot. */
class KeepsItsGuess extends FairScheduler {
  override release(slotId: string, options: { leaseId?: number; heldMs?: number }): boolean {
    return super.release(slotId, { ...options, heldMs: 10_000 });
  }
}

test('shares, follow the weights within 1 % (reduced bench a)', () => {
  for (const guessMs of [undefined, 10_000]) {
    const result = runShares({
      weights: [1, 1, 2, 4],
      slotCount: 4,
      seconds: 5_000,
      shortestMs: 3_000,
      longestMs: 30_000,
      seed: 11,
      createScheduler: createFair,
      ...(guessMs === undefined ? {} : { guessMs }),
    });
    assert.ok(result.runs.length > 1_000);
    assert.ok(result.worstShareError < 0.01, `shares are off by ${result.worstShareError}`);
    assert.ok(result.worstOfBound < 0.5, `unfairness is ${result.worstOfBound} of the bound`);
  }
});

const trials: fc.Arbitrary<SharesOptions> = fc
  .record({
    weights: fc.array(fc.constantFrom(0.5, 1, 2, 3, 8), { minLength: 2, maxLength: 5 }),
    slotCount: fc.integer({ min: 1, max: 6 }),
    shortestMs: fc.integer({ min: 500, max: 5_000 }),
    spreadMs: fc.integer({ min: 0, max: 30_000 }),
    seed: fc.nat(),
    guessMs: fc.option(fc.integer({ min: 1_000, max: 20_000 }), { nil: undefined }),
  })
  .map(({ weights, slotCount, shortestMs, spreadMs, seed, guessMs }): SharesOptions => {
    const trial = { weights, slotCount, seed, seconds: 2_000, shortestMs, longestMs: shortestMs + spreadMs };
    return guessMs === undefined ? trial : Object.assign(trial, { guessMs });
  });

test('unfairness, no pair of backlogged clients exceeds the SFQ(D) bound over any interval', () => {
  let runs = 0;
  fc.assert(
    fc.property(trials, (trial) => {
      const result = runShares({ ...trial, createScheduler: createFair });
      runs += result.runs.length;
      assert.ok(result.worstOfBound <= 1, `${result.worstPair.pair}: ${result.worstOfBound} of the bound`);
    }),
    { numRuns: 30 },
  );
  assert.ok(runs > 5_000, `only ${runs} jobs ran`);
});

test('unfairness, a scheduler that ignores weights is caught', () => {
  const result = fc.check(
    fc.property(trials, (trial) => {
      assert.ok(runShares({ ...trial, createScheduler: createUnweighted }).worstOfBound <= 1);
    }),
    { numRuns: 30, endOnFailure: true },
  );
  assert.ok(result.failed);
});

/** Long jobs against short ones of the same weight, guessed alike: only the true-up tells them apart. */
function shareOfLongJobs(scheduler: FairScheduler, world: SimulatedWorld): number {
  const order = (clientId: string) => ({
    clientId,
    durationMs: clientId === 'long' ? 20_000 : 2_000,
    estimateMs: 10_000,
  });
  const workshop = new Workshop({ world, scheduler, onStart: (run) => workshop.enter(order(run.clientId)) });
  for (let job = 0; job < 3; job += 1) for (const clientId of ['long', 'short']) workshop.enter(order(clientId));
  workshop.dispatch();
  world.runUntil(2_000_000);
  const held = (clientId: string) => {
    const ended = workshop.runs.filter((run) => run.clientId === clientId && run.endedAtMs > 0);
    return ended.reduce((sum, run) => sum + run.durationMs, 0);
  };
  return held('long') / (held('long') + held('short'));
}

test('true-up, long and short jobs of equal guess get equal slot time', () => {
  const world = new SimulatedWorld();
  const share = shareOfLongJobs(createFair(world, 2), world);
  assert.ok(Math.abs(share - 0.5) < 0.02, `long jobs got ${share}`);
});

test('true-up, a scheduler that keeps its guess is caught', () => {
  const world = new SimulatedWorld();
  const scheduler = withSlots(new KeepsItsGuess({ nowMs: () => world.nowMs, maxQueued: 100 }), 2);
  assert.ok(shareOfLongJobs(scheduler, world) > 0.8);
});

/** Average slots each client held, all of them always waiting but held to their caps. */
function allocationOf(
  demands: readonly { weight: number; slots: number }[],
  slotCount: number,
  create: Create,
): number[] {
  const world = new SimulatedWorld();
  const scheduler = create(world, slotCount);
  const random = createSeededRandom(5);
  const order = (clientId: string) => ({ clientId, durationMs: 1_000 + random() * 9_000 });
  const workshop = new Workshop({ world, scheduler, onStart: (run) => workshop.enter(order(run.clientId)) });
  for (const [index, { weight, slots }] of demands.entries()) {
    scheduler.setClient(`client ${index}`, { weight, maxInFlight: slots, maxQueued: 1_000 });
    for (let job = 0; job < slotCount + 1; job += 1) workshop.enter(order(`client ${index}`));
  }
  workshop.dispatch();
  const endMs = 2_000_000;
  world.runUntil(endMs);
  return demands.map((_, index) => {
    const runs = workshop.runs.filter((run) => run.clientId === `client ${index}` && run.startedAtMs < endMs);
    return runs.reduce((sum, run) => sum + Math.min(endMs - run.startedAtMs, run.durationMs), 0) / endMs;
  });
}

const allocations = fc.record({
  demands: fc.array(fc.record({ weight: fc.constantFrom(1, 2, 4), slots: fc.integer({ min: 1, max: 5 }) }), {
    minLength: 2,
    maxLength: 5,
  }),
  slotCount: fc.integer({ min: 2, max: 8 }),
});
const MARGIN = 0.15;

function worstMiss(
  { demands, slotCount }: { demands: { weight: number; slots: number }[]; slotCount: number },
  create: Create,
) {
  const expected = fairAllocation(demands, slotCount);
  const real = allocationOf(demands, slotCount, create);
  return Math.max(...expected.map((slots, index) => Math.abs(slots - (real[index] as number)) / slots));
}

test('fairAllocation, nobody gets more than it wants and the rest is shared by weight', () => {
  const of = (...demands: [number, number][]) => demands.map(([weight, slots]) => ({ weight, slots }));
  assert.deepEqual(fairAllocation(of([1, 9], [1, 9]), 4), [2, 2]);
  assert.deepEqual(fairAllocation(of([1, 1], [1, 9], [1, 9]), 4), [1, 1.5, 1.5]);
  assert.deepEqual(fairAllocation(of([1, 9], [3, 2]), 4), [2, 2]);
  assert.deepEqual(fairAllocation(of([1, 1], [1, 1]), 4), [1, 1]);
});

/** Found by chance: two clients whose fair share is exactly their cap, so that they must be served at once each time. */
const EXACTLY_AT_THE_CAP = {
  demands: [
    { weight: 2, slots: 1 },
    { weight: 1, slots: 1 },
    { weight: 1, slots: 1 },
    { weight: 4, slots: 2 },
    { weight: 4, slots: 2 },
  ],
  slotCount: 6,
};

test('allocation, is max-min fair within a margin for any demands and weights', () => {
  fc.assert(
    fc.property(allocations, (trial) => {
      const miss = worstMiss(trial, createFair);
      assert.ok(miss < MARGIN, `off by ${miss}`);
    }),
    { numRuns: 25, examples: [[EXACTLY_AT_THE_CAP]] },
  );
});

test('allocation, a scheduler that ignores weights is caught', () => {
  const result = fc.check(
    fc.property(allocations, (trial) => {
      assert.ok(worstMiss(trial, createUnweighted) < MARGIN);
    }),
    { numRuns: 25, endOnFailure: true },
  );
  assert.ok(result.failed);
});

/**
 * Clients that flood, others that send one job now and then: the longest wait of a single job over its bound. A newcomer
 * starts at virtual time, so at most one job of each other waiting client goes before it, in rounds of one per slot.
 */
function worstNewcomer(
  { floods, slotCount, jobMs, seed }: { floods: number; slotCount: number; jobMs: number; seed: number },
  scheduler: SlotSharer,
  world: SimulatedWorld,
): number {
  const random = createSeededRandom(seed);
  const single: { jobId: string; waiting: number }[] = [];
  const workshop = new Workshop({
    world,
    scheduler,
    onStart: (run) => {
      if (run.clientId.startsWith('flood'))
        workshop.enter({ clientId: run.clientId, durationMs: jobMs * (0.2 + 0.8 * random()) });
    },
  });
  for (let flood = 0; flood < floods; flood += 1) {
    for (let job = 0; job < 50; job += 1)
      workshop.enter({ clientId: `flood ${flood}`, durationMs: jobMs * random() + 1 });
  }
  workshop.dispatch();
  for (let arrival = 0; arrival < 60; arrival += 1) {
    world.at(random() * 100 * jobMs, () => {
      const waiting = single.filter(({ jobId }) => Number.isNaN(workshop.run(jobId)?.startedAtMs)).length;
      const jobId = workshop.submit({ clientId: `single ${arrival}`, durationMs: jobMs * random() + 1 });
      if (jobId !== undefined) single.push({ jobId, waiting });
    });
  }
  world.runUntil(200 * jobMs);
  assert.equal(single.length, 60);
  return Math.max(
    ...single.map(({ jobId, waiting }) => {
      const run = workshop.run(jobId);
      const waitedMs = (run?.startedAtMs ?? Number.NaN) - (run?.submittedAtMs ?? 0);
      const boundMs = jobMs * (1 + Math.ceil((floods + waiting) / slotCount));
      return Number.isNaN(waitedMs) ? Number.POSITIVE_INFINITY : waitedMs / boundMs;
    }),
  );
}

const floodTrials = fc.record({
  floods: fc.integer({ min: 1, max: 8 }),
  slotCount: fc.integer({ min: 1, max: 6 }),
  jobMs: fc.integer({ min: 1_000, max: 30_000 }),
  seed: fc.nat(),
});

test('a newcomer beside floods, waits no longer than one round of the waiting clients', () => {
  fc.assert(
    fc.property(floodTrials, (trial) => {
      const world = new SimulatedWorld();
      const worst = worstNewcomer(trial, createFair(world, trial.slotCount), world);
      assert.ok(worst <= 1, `${worst} of the bound`);
    }),
    { numRuns: 25 },
  );
});

test('a newcomer beside floods, first come first served is caught', () => {
  const result = fc.check(
    fc.property(floodTrials, (trial) => {
      const world = new SimulatedWorld();
      const slotIds = Array.from({ length: trial.slotCount }, (_, index) => `slot ${index}`);
      assert.ok(worstNewcomer(trial, new FifoScheduler(slotIds), world) <= 1);
    }),
    { numRuns: 25, endOnFailure: true },
  );
  assert.ok(result.failed);
});
