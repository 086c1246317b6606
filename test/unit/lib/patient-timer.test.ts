// Tests of timers that do not hold a blocked event loop against others.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { afterPatiently } from '../../../src/lib/patient-timer.ts';
import type { Clock } from '../../../src/lib/clock.ts';

/** A clock whose timers run when the test says so, however late. */
class LateClock implements Clock {
  nowMs = 1000;
  readonly timers: { delayMs: number; callback: () => void; isStopped: boolean }[] = [];

  wallMs(): number {
    return this.nowMs;
  }

  monotonicMs(): number {
    return this.nowMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { delayMs, callback, isStopped: false };
    this.timers.push(timer);
    return () => (timer.isStopped = true);
  }

  run(index: number, atMs: number): void {
    this.nowMs = atMs;
    this.timers[index]?.callback();
  }
}

test('patient timer, on time it runs at once', () => {
  const clock = new LateClock();
  let runs = 0;
  afterPatiently(clock, 500, () => (runs += 1));
  clock.run(0, 1505);
  assert.equal(runs, 1);
  assert.equal(clock.timers.length, 1);
});

for (const [lateMs, graceMs] of [
  [300, 300],
  [60_000, 1000],
] as const)
  test(`patient timer, ${lateMs} ms late it waits ${graceMs} ms more, once`, () => {
    const clock = new LateClock();
    let runs = 0;
    afterPatiently(clock, 500, () => (runs += 1));
    clock.run(0, 1500 + lateMs);
    assert.equal(runs, 0);
    assert.equal(clock.timers[1]?.delayMs, graceMs);
    clock.run(1, 200_000);
    assert.equal(runs, 1);
    assert.equal(clock.timers.length, 2);
  });

test('patient timer, stopped before or during its grace it never runs', () => {
  const clock = new LateClock();
  const stopEarly = afterPatiently(clock, 500, () => assert.fail('it ran'));
  stopEarly();
  assert.ok(clock.timers[0]?.isStopped);
  const stopLate = afterPatiently(clock, 500, () => assert.fail('it ran'));
  clock.run(1, 9000);
  stopLate();
  assert.ok(clock.timers[2]?.isStopped);
});
