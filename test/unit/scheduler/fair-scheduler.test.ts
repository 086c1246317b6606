// What the scheduler promises its callers, one behaviour at a time.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FairScheduler } from '../../../src/scheduler/fair-scheduler.ts';
import { createUnderTest, serveAll, unlimited } from './scheduler-under-test.ts';

test('dispatch, fills every idle slot and no more', () => {
  const { scheduler, submitMany, startedJobs } = createUnderTest();
  scheduler.addSlot('a', serveAll);
  scheduler.addSlot('b', serveAll);
  submitMany('x', 5);
  const first = scheduler.dispatch();
  assert.deepEqual(
    first.map(({ jobId, slotId, clientId, waitedMs, isRequeued }) => ({
      jobId,
      slotId,
      clientId,
      waitedMs,
      isRequeued,
    })),
    [
      { jobId: 'x-1', slotId: 'a', clientId: 'x', waitedMs: 0, isRequeued: false },
      { jobId: 'x-2', slotId: 'b', clientId: 'x', waitedMs: 0, isRequeued: false },
    ],
  );
  assert.deepEqual(startedJobs(), []);
});

test('dispatch, takes the least capable slot that fits, then the one idle for longest', () => {
  const { clock, scheduler, submit } = createUnderTest();
  scheduler.addSlot('rich', { capability: 2, canServe: () => true });
  scheduler.addSlot('plain 1', serveAll);
  scheduler.addSlot('plain 2', serveAll);
  const slotOf = (): string | undefined => {
    submit('x');
    return scheduler.dispatch()[0]?.slotId;
  };
  assert.equal(slotOf(), 'plain 1');
  scheduler.release('plain 1');
  clock.nowMs += 1;
  assert.equal(slotOf(), 'plain 2');
  assert.equal(slotOf(), 'plain 1');
  assert.equal(slotOf(), 'rich');
});

test('classes, a paid job that waits for a paid slot blocks no free job of the same or another client', () => {
  const { scheduler, submit, startedJobs } = createUnderTest();
  scheduler.addSlot('paid', { capability: 2, canServe: () => true });
  scheduler.addSlot('free', { capability: 1, canServe: (classKey) => classKey === 'free' });
  submit('x', { classKey: 'paid' });
  submit('x', { classKey: 'paid' });
  submit('x', { classKey: 'free' });
  submit('y', { classKey: 'free' });
  assert.deepEqual(startedJobs(), ['x-1', 'y-1']);
  scheduler.release('free');
  assert.deepEqual(startedJobs(), ['x-3'], 'the free job goes past the client’s own paid job');
  scheduler.release('paid');
  assert.deepEqual(startedJobs(), ['x-2']);
});

test('order inside one client, earliest deadline first and then arrival', () => {
  const { scheduler, submit, startedJobs } = createUnderTest();
  for (const slot of ['a', 'b', 'c', 'd']) scheduler.addSlot(slot, serveAll);
  submit('x');
  submit('x', { deadlineMs: 90_000 });
  submit('x');
  submit('x', { deadlineMs: 60_000 });
  assert.deepEqual(startedJobs(), ['x-4', 'x-2', 'x-1', 'x-3']);
});

test('bands, interactive goes first but batch gets its turn', () => {
  const { scheduler, submitMany, startedJobs } = createUnderTest({ bandOffsetsMs: { interactive: 0, batch: 20_000 } });
  scheduler.addSlot('a', serveAll);
  submitMany('b', 20, { band: 'batch' });
  submitMany('i', 20);
  const order: string[] = [];
  for (let step = 0; step < 12; step += 1) {
    order.push(...startedJobs());
    scheduler.release('a', { heldMs: 5_000 });
  }
  assert.deepEqual(order.slice(0, 4), ['i-1', 'i-2', 'i-3', 'i-4'], '20 s of head start are four jobs of 5 s');
  assert.equal(order.slice(4).filter((jobId) => jobId.startsWith('b')).length, 4, 'and then both share');
});

test('maxInFlight, holds a client to its slots while others pass', () => {
  const { scheduler, submitMany, startedJobs } = createUnderTest();
  for (const slot of ['a', 'b', 'c']) scheduler.addSlot(slot, serveAll);
  scheduler.setClient('x', { ...unlimited, maxInFlight: 1 });
  submitMany('x', 3);
  submitMany('y', 1);
  assert.deepEqual(startedJobs(), ['x-1', 'y-1']);
  scheduler.setClient('x', { ...unlimited, maxInFlight: 2 });
  assert.deepEqual(startedJobs(), ['x-2']);
});

test('sharesLastSlot, the last of four slots goes to somebody else, or to nobody else', () => {
  const { scheduler, submitMany, startedJobs } = createUnderTest({ sharesLastSlot: true });
  for (const slot of ['a', 'b', 'c', 'd']) scheduler.addSlot(slot, serveAll);
  scheduler.setClient('big', { ...unlimited, weight: 100 });
  submitMany('big', 20);
  submitMany('small', 2);
  const first = startedJobs();
  assert.equal(first.filter((jobId) => jobId.startsWith('big')).length, 3);
  scheduler.cancel('small-2');
  scheduler.release('d');
  assert.equal(startedJobs().length, 1, 'with nobody else waiting no slot is kept idle');
});

test('cancel, tells what the job was and frees its place', () => {
  const { scheduler, submitMany, startedJobs } = createUnderTest();
  scheduler.addSlot('a', serveAll);
  submitMany('x', 3);
  startedJobs();
  assert.equal(scheduler.cancel('x-2'), 'queued');
  assert.equal(scheduler.cancel('x-2'), 'unknown');
  assert.equal(scheduler.cancel('x-1'), 'running');
  assert.equal(scheduler.requeue('x-1'), false, 'a cancelled job is not put back');
  scheduler.release('a');
  assert.deepEqual(startedJobs(), ['x-3']);
  assert.equal(scheduler.cancel('x-1'), 'unknown');
});

test('release, a repeat frees nobody else’s slot', () => {
  const { scheduler, submitMany } = createUnderTest();
  scheduler.addSlot('a', serveAll);
  submitMany('x', 4);
  const leaseId = scheduler.dispatch()[0]?.leaseId ?? 0;
  assert.equal(scheduler.release('a', { leaseId }), true);
  scheduler.dispatch();
  assert.equal(scheduler.release('a', { leaseId }), false);
  assert.equal(scheduler.stats.running, 1);
  assert.equal(scheduler.release('b'), false);
  scheduler.addSlot('b', serveAll);
  const other = scheduler.dispatch()[0]?.leaseId ?? 0;
  assert.equal(scheduler.release('a', { leaseId: other }), false, 'a lease of another slot');
  assert.equal(scheduler.stats.running, 2);
});

test('requeue, keeps the place and waits for another slot while its own is still held', () => {
  const { scheduler, submitMany, startedJobs } = createUnderTest();
  scheduler.addSlot('a', serveAll);
  submitMany('x', 3);
  submitMany('y', 3);
  assert.deepEqual(startedJobs(), ['x-1']);
  assert.equal(scheduler.requeue('x-1'), true);
  assert.deepEqual(startedJobs(), [], 'the slot is not free yet');
  scheduler.updateSlot('a', { isAvailable: false });
  assert.equal(scheduler.release('a'), true);
  assert.deepEqual(startedJobs(), [], 'a slot that cools gets nothing');
  scheduler.addSlot('b', serveAll);
  const [again] = scheduler.dispatch();
  assert.equal(again?.jobId, 'x-1');
  assert.equal(again?.isRequeued, true);
  assert.equal(scheduler.requeue('y-1'), false);
});

test('requeue, charges nothing: the client is as far as before', () => {
  const { clock, scheduler, submitMany, startedJobs } = createUnderTest();
  scheduler.addSlot('a', serveAll);
  submitMany('x', 2);
  submitMany('y', 2);
  for (let attempt = 0; attempt < 5; attempt += 1) {
    assert.deepEqual(startedJobs(), ['x-1']);
    clock.nowMs += 3_000;
    scheduler.requeue('x-1');
    scheduler.release('a');
  }
  startedJobs();
  scheduler.release('a', { heldMs: 4_000 });
  assert.deepEqual(startedJobs(), ['y-1']);
  scheduler.release('a', { heldMs: 5_000 });
  assert.deepEqual(startedJobs(), ['x-2'], 'x paid 4 s for one run and nothing for the others');
});

test('requeue, keeps its place also where its client has since gone far ahead', () => {
  const { scheduler, submit, submitMany, startedJobs } = createUnderTest();
  for (const slot of ['a', 'b', 'c', 'd']) scheduler.addSlot(slot, serveAll);
  submit('x', { estimateMs: 1_000 });
  submitMany('x', 3, { estimateMs: 10_000 });
  assert.equal(startedJobs().length, 4);
  submitMany('y', 2);
  scheduler.requeue('x-1');
  scheduler.release('a');
  assert.deepEqual(startedJobs(), ['x-1'], 'it had started before y came');
});

test('release, charges the time since the assignment unless told otherwise', () => {
  const { clock, scheduler, submitMany, startedJobs } = createUnderTest();
  scheduler.addSlot('a', serveAll);
  submitMany('x', 4);
  submitMany('y', 4);
  assert.deepEqual(startedJobs(), ['x-1']);
  clock.nowMs += 12_000;
  scheduler.release('a');
  assert.deepEqual(startedJobs(), ['y-1']);
  scheduler.release('a', { heldMs: 5_000 });
  assert.deepEqual(startedJobs(), ['y-2'], 'x held the slot for 12 s, y for 5 s');
  scheduler.release('a', { heldMs: 100_000, isCharged: false });
  assert.deepEqual(startedJobs(), ['y-3'], 'what is not charged does not count');
});

test('submit, refuses with a time to try again', () => {
  const { scheduler, submit, submitMany, startedJobs } = createUnderTest({ maxQueued: 6 });
  assert.deepEqual(submit('x'), { isAccepted: false, reason: 'no_slot_can_serve', retryAfterMs: 30_000 });
  scheduler.addSlot('a', serveAll);
  scheduler.setClient('x', { ...unlimited, maxQueued: 3 });
  submitMany('x', 1);
  startedJobs();
  submitMany('x', 3);
  assert.deepEqual(submit('x'), { isAccepted: false, reason: 'client_queue_full', retryAfterMs: 5_000 });
  submitMany('y', 3);
  assert.deepEqual(submit('z'), { isAccepted: false, reason: 'queue_full', retryAfterMs: 5_000 });
  assert.deepEqual(scheduler.stats.refused, {
    client_queue_full: 1,
    queue_full: 1,
    deadline_unmeetable: 0,
    no_slot_can_serve: 1,
  });
});

test('submit, refuses a deadline that cannot be met and no other', () => {
  const { clock, scheduler, submit, submitMany, startedJobs } = createUnderTest();
  scheduler.addSlot('a', serveAll);
  assert.equal(submit('x', { deadlineMs: clock.nowMs - 1 }).isAccepted, false, 'past already');
  submitMany('x', 11);
  startedJobs();
  const deadlineMs = clock.nowMs + 45_000;
  const answers = Array.from({ length: 12 }, () => submit('x', { deadlineMs }));
  assert.equal(
    answers.filter((answer) => answer.isAccepted).length,
    10,
    'jobs of 5 s with an earlier deadline than their client’s others: the eleventh would wait 50 s',
  );
  assert.deepEqual(answers[10], { isAccepted: false, reason: 'deadline_unmeetable', retryAfterMs: 5_000 });
  assert.ok(submit('y', { deadlineMs: clock.nowMs + 8_000 }).isAccepted, 'another client does not wait for x');
});

test('submit, judges a deadline by the weight of the client', () => {
  const accepted = [1, 4].map((weight) => {
    const { clock, scheduler, submit, submitMany, startedJobs } = createUnderTest();
    scheduler.addSlot('a', serveAll);
    scheduler.setClient('z', { ...unlimited, weight });
    submitMany('x', 200);
    startedJobs();
    const deadlineMs = clock.nowMs + 100_000;
    return Array.from({ length: 40 }, () => submit('z', { deadlineMs })).filter((answer) => answer.isAccepted).length;
  });
  assert.deepEqual(accepted, [11, 17], 'at half of the slot 10 jobs go before the last, at four fifths 16');
});

test('submit, throws on a name in use and on an estimate that is none', () => {
  const { scheduler, submit, startedJobs } = createUnderTest();
  scheduler.addSlot('a', serveAll);
  submit('x', { jobId: 'same' });
  assert.throws(() => submit('x', { jobId: 'same' }), /queued or running already/);
  startedJobs();
  assert.throws(() => submit('x', { jobId: 'same' }), /queued or running already/);
  assert.throws(() => submit('x', { estimateMs: 0 }), RangeError);
  assert.throws(() => submit('x', { estimateMs: Number.NaN }), RangeError);
  assert.throws(() => scheduler.setClient('x', { ...unlimited, weight: 0 }), RangeError);
  assert.throws(() => scheduler.setClient('x', { ...unlimited, maxInFlight: 0 }), RangeError);
});

test('slots, a removed busy slot stays until its job ends and takes no other', () => {
  const { scheduler, submitMany, startedJobs } = createUnderTest();
  scheduler.addSlot('a', serveAll);
  submitMany('x', 2);
  startedJobs();
  scheduler.removeSlot('a');
  assert.equal(scheduler.stats.slots, 1);
  assert.deepEqual(scheduler.unservableJobIds(), ['x-2']);
  assert.equal(scheduler.release('a'), true);
  assert.equal(scheduler.stats.slots, 0);
  assert.deepEqual(startedJobs(), []);
  scheduler.addSlot('a', serveAll);
  assert.deepEqual(startedJobs(), ['x-2']);
  assert.throws(() => scheduler.addSlot('a', serveAll), /there already/);
  assert.equal(scheduler.updateSlot('b', { isAvailable: false }), false);
});

test('slots, a changed answer of canServe counts once invalidated', () => {
  const { scheduler, submit, startedJobs } = createUnderTest();
  let hasAnlas = false;
  scheduler.addSlot('a', { capability: 1, canServe: (classKey) => classKey === 'free' || hasAnlas });
  submit('x');
  submit('x', { classKey: 'paid' });
  assert.deepEqual(startedJobs(), ['x-1']);
  hasAnlas = true;
  scheduler.invalidateEligibility();
  assert.ok(submit('x', { classKey: 'paid' }).isAccepted);
  scheduler.release('a');
  assert.deepEqual(startedJobs(), ['x-3']);
});

test('onAssign, may call back, and one failing listener keeps no other job waiting', () => {
  const started: string[] = [];
  const scheduler: FairScheduler = new FairScheduler({
    nowMs: () => 0,
    maxQueued: 10,
    onAssign: ({ jobId, slotId, leaseId }) => {
      started.push(jobId);
      if (jobId === 'bad') throw new Error('listener failed');
      scheduler.release(slotId, { leaseId });
      scheduler.dispatch();
    },
  });
  scheduler.addSlot('a', serveAll);
  scheduler.addSlot('b', serveAll);
  const job = { clientId: 'x', classKey: 'free', estimateMs: 1, band: 'interactive', deadlineMs: Infinity } as const;
  for (const jobId of ['bad', 'good 1', 'good 2', 'good 3']) scheduler.submit({ jobId, ...job });
  assert.throws(() => scheduler.dispatch(), /listener failed/);
  assert.deepEqual(started.toSorted(), ['bad', 'good 1', 'good 2', 'good 3']);
});

test('forgetClient, falls back to the default policy', () => {
  const { scheduler, submit } = createUnderTest({ defaultPolicy: { ...unlimited, maxQueued: 1 } });
  scheduler.addSlot('a', serveAll);
  scheduler.setClient('x', unlimited);
  assert.ok(submit('x').isAccepted);
  assert.ok(submit('x').isAccepted);
  scheduler.forgetClient('x');
  assert.ok(!submit('x').isAccepted);
});
