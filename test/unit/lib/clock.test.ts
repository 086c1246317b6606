// Tests of the real clock, and of the fake one that the other tests trust.
import assert from 'node:assert/strict';
import { test, mock } from 'node:test';
import { systemClock } from '../../../src/lib/clock.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const DAY_MS = 86_400_000;

test('system clock, a timer runs once after its delay and a cancelled one never', async () => {
  const ran: string[] = [];
  const stop = systemClock.after(5, () => ran.push('cancelled'));
  stop();
  await new Promise<void>((resolve) => {
    const keepAlive = setTimeout(() => undefined, 5000);
    systemClock.after(20, () => {
      ran.push('kept');
      clearTimeout(keepAlive);
      resolve();
    });
  });
  assert.deepEqual(ran, ['kept']);
});

test('system clock, a delay longer than a Node timer holds neither runs at once nor early', () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    let ran = 0;
    systemClock.after(60 * DAY_MS, () => (ran += 1));
    for (let day = 0; day < 59; day += 1) mock.timers.tick(DAY_MS);
    assert.equal(ran, 0);
    // The mock runs what is set within a tick from the end of that tick on.
    for (let day = 0; day < 3; day += 1) mock.timers.tick(DAY_MS);
    assert.equal(ran, 1);
    const stop = systemClock.after(60 * DAY_MS, () => (ran += 1));
    for (let day = 0; day < 30; day += 1) mock.timers.tick(DAY_MS);
    stop();
    for (let day = 0; day < 40; day += 1) mock.timers.tick(DAY_MS);
    assert.equal(ran, 1);
  } finally {
    mock.timers.reset();
  }
});

test('fake clock, timers run in order of time and those set on the way run too', async () => {
  const clock = new FakeClock();
  const startMs = clock.monotonicMs();
  const ran: [string, number][] = [];
  const note = (name: string) => ran.push([name, clock.monotonicMs() - startMs]);
  clock.after(20, () => note('second'));
  clock.after(10, () => {
    note('first');
    clock.after(5, () => note('between'));
  });
  clock.after(100, () => note('too late'));
  await clock.advance(50);
  assert.deepEqual(ran, [
    ['first', 10],
    ['between', 15],
    ['second', 20],
  ]);
  assert.equal(clock.timersLeft, 1);
  assert.equal(clock.nextTimerMs, 50);
});
