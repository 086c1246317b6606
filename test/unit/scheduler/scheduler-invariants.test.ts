// I1, I3, nothing lost, virtual time, and the place of requeued jobs, under any sequence of events; and faulty schedulers that must be caught.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { FairScheduler } from '../../../src/scheduler/fair-scheduler.ts';
import type { Assignment, Job, SchedulerStats, Submission } from '../../../src/scheduler/fair-scheduler.ts';
import { BrokenRule, SchedulerTruth } from './scheduler-truth.ts';
import type { Command, Rule } from './scheduler-truth.ts';

const ALL_RULES: Rule[] = ['I1', 'I3', 'lost', 'virtual time', 'place', 'forecast'];

const submit = fc.record({
  kind: fc.constant('submit' as const),
  client: fc.nat(3),
  isPaid: fc.boolean(),
  isBatch: fc.boolean(),
  estimateMs: fc.integer({ min: 100, max: 30_000 }),
  deadlineMs: fc.option(fc.integer({ min: 1_000, max: 120_000 })),
});
const release = fc.record({
  kind: fc.constant('release' as const),
  pick: fc.nat(99),
  heldPart: fc.double({ min: 0, max: 3, noNaN: true }),
});
const disturb = fc.record({
  kind: fc.constantFrom('requeue' as const, 'requeue' as const, 'cancel' as const),
  pick: fc.nat(99),
});
const slotChange = fc.record({
  kind: fc.constantFrom('toggle slot' as const, 'toggle paid' as const, 'remove slot' as const),
  pick: fc.nat(99),
});
const cap = fc.record({
  kind: fc.constant('cap' as const),
  client: fc.nat(3),
  maxInFlight: fc.integer({ min: 1, max: 4 }),
  weight: fc.double({ min: 0.1, max: 10, noNaN: true }),
});
const wait = fc.record({ kind: fc.constant('wait' as const), forMs: fc.nat(20_000) });

const commands: fc.Arbitrary<Command[]> = fc.array(
  fc.oneof(
    { arbitrary: submit, weight: 5 },
    { arbitrary: release, weight: 4 },
    { arbitrary: disturb, weight: 2 },
    { arbitrary: slotChange, weight: 1 },
    { arbitrary: cap, weight: 1 },
    { arbitrary: wait, weight: 1 },
  ),
  { minLength: 10, maxLength: 150, size: 'max' },
);

type Create = (nowMs: () => number) => FairScheduler;

function property(create: Create, rules: Rule[], totals = { assignments: 0, requeues: 0 }) {
  return fc.property(commands, (run) => {
    const truth = new SchedulerTruth(create, rules);
    for (const command of run) truth.apply(command);
    truth.finish();
    totals.assignments += truth.assignments;
    totals.requeues += truth.requeues;
  });
}

for (const sharesLastSlot of [false, true]) {
  test(`invariants, hold under any sequence of events (last slot shared: ${sharesLastSlot})`, () => {
    const totals = { assignments: 0, requeues: 0 };
    const create: Create = (nowMs) => new FairScheduler({ nowMs, maxQueued: 1_000, sharesLastSlot });
    fc.assert(property(create, ALL_RULES, totals), { numRuns: 150 });
    assert.ok(totals.assignments > 2_000, `only ${totals.assignments} assignments were made`);
    assert.ok(totals.requeues > 200, `only ${totals.requeues} jobs were requeued`);
  });
}

/** Frees a slot while its job still runs, now and then. */
class FreesEarly extends FairScheduler {
  #count = 0;

  override dispatch(): Assignment[] {
    const assignments = super.dispatch();
    for (const { slotId } of assignments) if (++this.#count % 7 === 0) this.release(slotId);
    return assignments;
  }
}

/** Reports an assignment twice, now and then. */
class DispatchesTwice extends FairScheduler {
  #count = 0;

  override dispatch(): Assignment[] {
    return super.dispatch().flatMap((each) => (++this.#count % 7 === 0 ? [each, each] : [each]));
  }
}

/** Sleeps through every fourth event. */
class Dozes extends FairScheduler {
  #count = 0;

  override dispatch(): Assignment[] {
    return ++this.#count % 4 === 0 ? [] : super.dispatch();
  }
}

/** Accepts every ninth job and forgets it. */
class LosesJobs extends FairScheduler {
  #count = 0;

  override submit(job: Job): Submission {
    return ++this.#count % 9 === 0 ? { isAccepted: true, position: 1 } : super.submit(job);
  }
}

/** Takes virtual time from the newest job instead of keeping the greatest. */
class TurnsBack extends FairScheduler {
  override get stats(): SchedulerStats {
    const stats = super.stats;
    return { ...stats, virtualTimeMs: stats.virtualTimeMs - (stats.assigned % 2) * 1_000 };
  }
}

/** Puts a job that comes back behind its client's others. */
class RequeuesAtTheBack extends FairScheduler {
  readonly #jobs = new Map<string, Job>();

  override submit(job: Job): Submission {
    this.#jobs.set(job.jobId, job);
    return super.submit(job);
  }

  override requeue(jobId: string): boolean {
    const job = this.#jobs.get(jobId);
    if (job === undefined || !super.requeue(jobId)) return false;
    super.cancel(jobId);
    return super.submit({ ...job, deadlineMs: Number.POSITIVE_INFINITY }).isAccepted;
  }
}

const faults: [string, Create, Rule][] = [
  ['frees a slot early', (nowMs) => new FreesEarly({ nowMs, maxQueued: 1_000 }), 'I1'],
  ['dispatches twice', (nowMs) => new DispatchesTwice({ nowMs, maxQueued: 1_000 }), 'I1'],
  ['dozes', (nowMs) => new Dozes({ nowMs, maxQueued: 1_000 }), 'I3'],
  ['loses jobs', (nowMs) => new LosesJobs({ nowMs, maxQueued: 1_000 }), 'lost'],
  ['turns virtual time back', (nowMs) => new TurnsBack({ nowMs, maxQueued: 1_000 }), 'virtual time'],
  ['requeues at the back', (nowMs) => new RequeuesAtTheBack({ nowMs, maxQueued: 1_000 }), 'place'],
];

for (const [fault, create, rule] of faults) {
  test(`invariants, a scheduler that ${fault} is caught by rule ${rule}`, () => {
    const result = fc.check(property(create, [rule]), { numRuns: 150, endOnFailure: true });
    assert.ok(result.failed, 'the fault went unnoticed');
    assert.ok(result.errorInstance instanceof BrokenRule, String(result.errorInstance));
    assert.equal(result.errorInstance.rule, rule);
  });
}
