// Nobody saves up credit: by idling, at a cap, by being passed over, or by needing slots that are few. And nobody escapes a debt.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SimulatedWorld, Workshop } from '../../../bench/scheduler-simulation.ts';
import { FairScheduler } from '../../../src/scheduler/fair-scheduler.ts';
import { createSeededRandom } from '../../../src/scheduler/seeded-random.ts';
import { createUnderTest, serveAll, unlimited } from './scheduler-under-test.ts';

/** A workshop of equal slots in which the named clients always have work of 5 s waiting from the given time on. */
class Backlogged {
  readonly world = new SimulatedWorld();
  readonly scheduler: FairScheduler;
  readonly workshop: Workshop;

  constructor(slotCount: number, { sharesLastSlot = false } = {}) {
    this.scheduler = new FairScheduler({ nowMs: () => this.world.nowMs, maxQueued: 10_000, sharesLastSlot });
    for (let slot = 0; slot < slotCount; slot += 1) this.scheduler.addSlot(`slot ${slot}`, serveAll);
    this.workshop = new Workshop({
      world: this.world,
      scheduler: this.scheduler,
      onStart: ({ clientId }) => this.workshop.enter({ clientId, durationMs: 5_000 }),
    });
  }

  add(clientId: string, policy: { weight?: number; maxInFlight?: number } = {}): void {
    this.scheduler.setClient(clientId, { ...unlimited, ...policy });
    for (let job = 0; job < 10; job += 1) this.workshop.enter({ clientId, durationMs: 5_000 });
    this.workshop.dispatch();
  }

  /** Average slots the client held between two times. */
  held(clientId: string, fromMs: number, toMs: number): number {
    const inside = this.workshop.runs.filter(
      (run) => run.clientId === clientId && run.startedAtMs >= fromMs && run.startedAtMs < toMs,
    );
    return (inside.length * 5_000) / (toMs - fromMs);
  }
}

test('an idle client, comes back at virtual time and has saved up no credit', () => {
  const shop = new Backlogged(1);
  shop.add('busy');
  shop.world.runUntil(1_000_000);
  shop.add('late');
  shop.world.runUntil(1_100_000);
  const held = shop.held('late', 1_000_000, 1_100_000);
  assert.ok(Math.abs(held - 0.5) <= 0.05, `it held ${held} of the slot`);
});

/** Two clients whose jobs only one of four slots can serve, beside two others: who gets what of which slot? */
function runPaidAndFree(
  endMs: number,
  afterwards: (now: { workshop: Workshop; scheduler: FairScheduler; openAllSlots: () => void }) => void = () => {},
) {
  const world = new SimulatedWorld();
  const scheduler = new FairScheduler({ nowMs: () => world.nowMs, maxQueued: 10_000 });
  let areAllOpen = false;
  const openAllSlots = (): void => {
    areAllOpen = true;
    scheduler.invalidateEligibility();
  };
  for (let slot = 1; slot <= 4; slot += 1) {
    scheduler.addSlot(`slot ${slot}`, {
      capability: slot === 4 ? 2 : 1,
      canServe: (classKey) => classKey === 'free' || slot === 4 || areAllOpen,
    });
  }
  const random = createSeededRandom(9);
  const order = (clientId: string) => ({
    clientId,
    classKey: clientId.startsWith('paid') ? 'paid' : 'free',
    durationMs: 2_000 + random() * 6_000,
  });
  const workshop = new Workshop({
    world,
    scheduler,
    onStart: (run) => {
      if (world.nowMs < endMs) workshop.enter(order(run.clientId));
    },
  });
  scheduler.setClient('paid 2', { ...unlimited, weight: 2 });
  for (const clientId of ['paid 1', 'paid 2', 'free 1', 'free 2']) {
    for (let job = 0; job < 6; job += 1) workshop.enter(order(clientId));
  }
  workshop.dispatch();
  world.runUntil(endMs);
  afterwards({ workshop, scheduler, openAllSlots });
  world.runUntil(endMs + 200_000);
  const slots = (clientId: string, fromMs: number, toMs: number): number => {
    const inside = workshop.runs.filter(
      (run) => run.clientId === clientId && run.startedAtMs >= fromMs && run.startedAtMs < toMs,
    );
    return inside.reduce((sum, run) => sum + run.durationMs, 0) / (toMs - fromMs);
  };
  return { slots, endMs, workshop };
}

test('clients that only one slot can serve, share it by weight, and the others share the rest', () => {
  const { slots, endMs } = runPaidAndFree(2_000_000);
  const held = (clientId: string) => slots(clientId, 0, endMs);
  assert.ok(Math.abs(held('paid 1') - 1 / 3) < 0.03, `paid 1 held ${held('paid 1')}`);
  assert.ok(Math.abs(held('paid 2') - 2 / 3) < 0.03, `paid 2 held ${held('paid 2')}`);
  assert.ok(Math.abs(held('free 1') - 1.5) < 0.05, `free 1 held ${held('free 1')}`);
  assert.ok(Math.abs(held('free 2') - 1.5) < 0.05, `free 2 held ${held('free 2')}`);
});

test('a client held back by few slots, gains no credit on the others', () => {
  const endMs = 2_000_000;
  const { slots } = runPaidAndFree(endMs, ({ workshop }) => {
    for (const clientId of ['paid 1', 'free 1', 'free 2']) {
      for (let job = 0; job < 200; job += 1) workshop.enter({ clientId, classKey: 'free', durationMs: 5_000 });
    }
  });
  const held = slots('paid 1', endMs, endMs + 100_000);
  assert.ok(held < 1.6, `it held ${held} slots, a fair third of four is 1.33`);
});

test('clients held back by few slots, gain no credit when more slots can serve them', () => {
  const endMs = 2_000_000;
  const { slots } = runPaidAndFree(endMs, ({ workshop, openAllSlots }) => {
    for (const clientId of ['paid 1', 'paid 2', 'free 1', 'free 2']) {
      const classKey = clientId.startsWith('paid') ? 'paid' : 'free';
      for (let job = 0; job < 200; job += 1) workshop.enter({ clientId, classKey, durationMs: 5_000 });
    }
    openAllSlots();
    workshop.dispatch();
  });
  const held = (clientId: string) => slots(clientId, endMs, endMs + 100_000);
  assert.ok(Math.abs(held('free 1') - 0.8) < 0.15, `free 1 held ${held('free 1')}, a fifth of four is 0.8`);
  assert.ok(Math.abs(held('paid 2') - 1.6) < 0.3, `paid 2 held ${held('paid 2')}, two fifths are 1.6`);
});

test('a newcomer among clients that only one slot can serve, starts where they are', () => {
  const endMs = 2_000_000;
  const { workshop } = runPaidAndFree(endMs, ({ workshop, scheduler }) => {
    assert.ok(scheduler.stats.virtualTimeMs > 2_500_000, 'the free clients are far ahead of the paid');
    workshop.enter({ clientId: 'paid 3', classKey: 'paid', durationMs: 5_000 });
  });
  const newcomer = workshop.runs.find((run) => run.clientId === 'paid 3');
  const waitedMs = (newcomer?.startedAtMs ?? Number.NaN) - endMs;
  assert.ok(waitedMs < 20_000, `it waited ${waitedMs} ms, the others have a minute of work`);
});

test('a client at its cap, has no credit when its fair share falls below the cap', () => {
  const shop = new Backlogged(2);
  shop.add('capped', { weight: 10, maxInFlight: 1 });
  shop.add('open');
  shop.world.runUntil(1_000_000);
  assert.ok(Math.abs(shop.held('capped', 0, 1_000_000) - 1) < 0.05);
  for (const clientId of ['c', 'd', 'e', 'f']) shop.add(clientId, { weight: 10 });
  shop.world.runUntil(1_200_000);
  const held = shop.held('capped', 1_000_000, 1_200_000);
  assert.ok(held < 0.5, `it held ${held} slots, its share of two is 0.39`);
});

test('a client whose cap is lifted during a long job, starts without credit', () => {
  const shop = new Backlogged(4);
  shop.scheduler.setClient('capped', { ...unlimited, maxInFlight: 1 });
  shop.workshop.submit({ clientId: 'capped', durationMs: 2_000_000, estimateMs: 5_000 });
  shop.add('open');
  shop.add('capped', { maxInFlight: 1 });
  shop.world.runUntil(1_000_000);
  assert.equal(shop.held('capped', 1, 1_000_000), 0);
  shop.scheduler.setClient('capped', unlimited);
  shop.workshop.dispatch();
  shop.world.runUntil(1_100_000);
  const held = shop.held('capped', 1_000_000, 1_100_000);
  assert.ok(Math.abs(held - 1.5) < 0.3, `it held ${held} of the three other slots, half is 1.5`);
});

test('a class that appears after a job with an old tag ran again, starts at virtual time', () => {
  const { scheduler, submit, submitMany } = createUnderTest();
  scheduler.addSlot('a', serveAll);
  submit('old');
  scheduler.dispatch();
  scheduler.addSlot('b', serveAll);
  submitMany('flood', 300);
  const turns = (count: number): string[] => {
    const started: string[] = [];
    for (let turn = 0; turn < count; turn += 1) {
      started.push(...scheduler.dispatch().map(({ clientId }) => clientId));
      scheduler.release('b', { heldMs: 5_000 });
    }
    return started;
  };
  turns(100);
  assert.ok(scheduler.stats.virtualTimeMs > 400_000);
  scheduler.requeue('old-1');
  assert.deepEqual(turns(1), ['old'], 'its tag is far behind');
  submitMany('newcomer', 20, { classKey: 'paid' });
  const held = turns(20).filter((clientId) => clientId === 'newcomer').length;
  assert.ok(Math.abs(held - 10) <= 1, `it got ${held} of 20 turns`);
});

test('a slot that is added later, brings no credit to those that only it can serve', () => {
  const shop = new Backlogged(1);
  shop.add('flood 1');
  shop.add('flood 2');
  shop.world.runUntil(1_000_000);
  shop.scheduler.removeSlot('slot 0');
  shop.scheduler.addSlot('free', { capability: 1, canServe: (classKey) => classKey === 'free' });
  shop.scheduler.addSlot('all', { capability: 2, canServe: () => true });
  for (let job = 0; job < 100; job += 1)
    shop.workshop.enter({ clientId: 'payer', classKey: 'paid', durationMs: 5_000 });
  shop.workshop.dispatch();
  shop.world.runUntil(1_200_000);
  const held = shop.held('payer', 1_000_000, 1_200_000);
  assert.ok(Math.abs(held - 2 / 3) < 0.1, `it held ${held} of two slots, a third is 0.67`);
});

test('a client passed over for the last slot, is owed nothing for it', () => {
  const shop = new Backlogged(4, { sharesLastSlot: true });
  shop.add('big', { weight: 100 });
  shop.add('small');
  shop.world.runUntil(1_000_000);
  assert.ok(Math.abs(shop.held('big', 0, 1_000_000) - 3) < 0.05);
  shop.add('as big', { weight: 100 });
  shop.world.runUntil(1_200_000);
  const held = shop.held('big', 1_000_000, 1_200_000);
  assert.ok(held < 2.4, `it held ${held} of four slots, its half is 2`);
});

test('sharesLastSlot, does nothing below four slots', () => {
  const shop = new Backlogged(3, { sharesLastSlot: true });
  shop.add('big', { weight: 1_000 });
  shop.add('small');
  shop.world.runUntil(500_000);
  assert.ok(shop.held('big', 100_000, 500_000) > 2.9);
});

test('a debt, is kept while it counts: leaving after each job and coming back gains nothing', () => {
  const { scheduler, submit, submitMany } = createUnderTest();
  scheduler.addSlot('a', serveAll);
  submitMany('steady', 100);
  submit('hopper');
  const started: string[] = [];
  for (let round = 0; round < 40; round += 1) {
    const [assignment] = scheduler.dispatch();
    started.push(assignment?.clientId ?? '');
    scheduler.release('a', { heldMs: 5_000 });
    if (assignment?.clientId === 'hopper') submit('hopper');
  }
  const hops = started.filter((clientId) => clientId === 'hopper').length;
  assert.ok(hops >= 19 && hops <= 21, `a client that asks again each time got ${hops} of 40`);
});
