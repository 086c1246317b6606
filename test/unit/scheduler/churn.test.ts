// Many clients coming and going, thousands of cancels: nothing stays behind and nobody else notices.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FairScheduler } from '../../../src/scheduler/fair-scheduler.ts';
import type { Assignment } from '../../../src/scheduler/fair-scheduler.ts';
import { createUnderTest, serveAll, unlimited } from './scheduler-under-test.ts';

const MAX_DEBTS_KEPT = 1_024;

test('one-job clients, 5,000 of them leave no memory behind', () => {
  const { clock, scheduler, submit } = createUnderTest();
  for (const slot of ['a', 'b', 'c', 'd']) scheduler.addSlot(slot, serveAll);
  let assigned = 0;
  for (let client = 0; client < 5_000; client += 1) {
    submit(`client ${client}`);
    assigned += scheduler.dispatch().length;
    clock.nowMs += 1_000;
    if (client % 4 === 3) for (const slot of ['a', 'b', 'c', 'd']) scheduler.release(slot);
  }
  assert.equal(assigned, 5_000);
  assert.equal(scheduler.stats.clients, 0);
  assert.equal(scheduler.stats.queued, 0);
});

test('one-job clients, while a flood never lets the scheduler come to rest their number stays bounded', () => {
  const { clock, scheduler, submit, submitMany } = createUnderTest();
  scheduler.addSlot('a', serveAll);
  scheduler.addSlot('b', serveAll);
  submitMany('flood', 6_000);
  let most = 0;
  let newcomers = 0;
  for (let client = 0; client < 5_000; client += 1) {
    submit(`client ${client}`);
    newcomers += scheduler.dispatch().filter(({ clientId }) => clientId !== 'flood').length;
    clock.nowMs += 1_000;
    for (const slot of ['a', 'b']) scheduler.release(slot, { heldMs: 1_000 });
    most = Math.max(most, scheduler.stats.clients);
  }
  assert.ok(newcomers > 4_900, `only ${newcomers} newcomers ran`);
  assert.ok(most < MAX_DEBTS_KEPT + 10, `${most} clients were in memory at once`);
  for (let job = 1; job <= 6_000; job += 1) scheduler.cancel(`flood-${job}`);
  for (const slot of ['a', 'b']) scheduler.release(slot);
  while (scheduler.dispatch().length > 0) for (const slot of ['a', 'b']) scheduler.release(slot);
  assert.equal(scheduler.stats.clients, 0);
});

test('one-job clients, their debts stay bounded while virtual time stands still', () => {
  const { scheduler, submit } = createUnderTest();
  for (const slot of ['a', 'b']) scheduler.addSlot(slot, serveAll);
  submit('client first');
  const running = scheduler.dispatch();
  let most = 0;
  for (let client = 0; client < 5_000; client += 1) {
    submit(`client ${client}`);
    running.push(...scheduler.dispatch());
    const ended = running.shift();
    if (ended !== undefined) scheduler.release(ended.slotId, { leaseId: ended.leaseId, heldMs: 5_000 });
    most = Math.max(most, scheduler.stats.clients);
  }
  assert.equal(scheduler.stats.virtualTimeMs, 0, 'all are first-time clients');
  assert.ok(most > 1_000, 'debts are kept');
  assert.ok(most < MAX_DEBTS_KEPT + 10, `${most} clients were in memory at once`);
});

/** Cancels every job of the flood; gives the cancelled and what the others ran afterwards. */
function massCancel(scheduler: FairScheduler): { cancelled: number; started: Assignment[] } {
  const job = { classKey: 'free', estimateMs: 5_000, band: 'interactive', deadlineMs: 1e9 } as const;
  scheduler.addSlot('a', serveAll);
  for (let number = 0; number < 5_000; number += 1)
    scheduler.submit({ ...job, jobId: `flood ${number}`, clientId: `f${number % 7}` });
  for (let number = 0; number < 20; number += 1)
    scheduler.submit({ ...job, jobId: `other ${number}`, clientId: 'other' });
  scheduler.dispatch();
  let cancelled = 0;
  for (let number = 0; number < 5_000; number += 1)
    if (scheduler.cancel(`flood ${number}`) === 'queued') cancelled += 1;
  const started: Assignment[] = [];
  for (let round = 0; round < 30; round += 1) {
    scheduler.release('a', { heldMs: 5_000 });
    started.push(...scheduler.dispatch());
  }
  return { cancelled, started };
}

test('mass cancel, takes out 5,000 jobs and leaves the others in order', () => {
  const scheduler = new FairScheduler({ nowMs: () => 0, maxQueued: 10_000 });
  const { cancelled, started } = massCancel(scheduler);
  assert.equal(cancelled, 4_999, 'all but the running one');
  assert.deepEqual(
    started.map(({ jobId }) => jobId),
    Array.from({ length: 20 }, (_, number) => `other ${number}`),
  );
  const { queued, running, clients, queuedWorkMs } = scheduler.stats;
  assert.deepEqual({ queued, running, clients, queuedWorkMs }, { queued: 0, running: 0, clients: 0, queuedWorkMs: 0 });
  assert.equal(scheduler.nextDeadlineMs(), undefined);
});

/** Says it cancelled but keeps the job. */
class KeepsCancelled extends FairScheduler {
  #count = 0;

  override cancel(jobId: string): 'queued' | 'running' | 'unknown' {
    return ++this.#count % 500 === 0 ? 'queued' : super.cancel(jobId);
  }
}

test('mass cancel, a scheduler that keeps some is noticed', () => {
  const { started } = massCancel(new KeepsCancelled({ nowMs: () => 0, maxQueued: 10_000 }));
  assert.ok(started.some(({ jobId }) => jobId.startsWith('flood')));
});

test('policies, of clients that are set and forgotten leave nothing', () => {
  const { scheduler, submit } = createUnderTest();
  scheduler.addSlot('a', serveAll);
  for (let client = 0; client < 1_000; client += 1) {
    scheduler.setClient(`client ${client}`, { ...unlimited, weight: 2 });
    submit(`client ${client}`);
    scheduler.dispatch();
    scheduler.release('a');
    scheduler.forgetClient(`client ${client}`);
  }
  assert.equal(scheduler.stats.assigned, 1_000);
  assert.equal(scheduler.stats.clients, 0);
});
