// Tests of one member's health: five in a row, growing ejections, one probe.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OutlierGuard } from '../../../src/upstream/outlier-guard.ts';

const MAY = { mayEject: true };

function fail(guard: OutlierGuard, times: number, nowMs = 0, options: { mayEject: boolean } = MAY): boolean[] {
  return Array.from({ length: times }, () => guard.onFailure(nowMs, options));
}

test('guard, five failures in a row eject, four do not', () => {
  const guard = new OutlierGuard();
  assert.deepEqual(fail(guard, 4), [false, false, false, false]);
  assert.equal(guard.state(0), 'in');
  assert.equal(guard.failuresLeft, 1);
  assert.deepEqual(fail(guard, 1), [true]);
  assert.equal(guard.state(0), 'out');
  assert.equal(guard.outUntilMs, 30_000);
  assert.equal(guard.failuresLeft, 0);
});

test('guard, a success in between begins the count anew', () => {
  const guard = new OutlierGuard();
  for (let round = 0; round < 10; round += 1) {
    assert.ok(!fail(guard, 4).includes(true));
    guard.onSuccess();
  }
  assert.equal(guard.state(0), 'in');
});

test('guard, an end that tells nothing neither counts nor mends', () => {
  const guard = new OutlierGuard();
  fail(guard, 4);
  guard.onNoVerdict();
  assert.equal(guard.failures, 4);
  assert.deepEqual(fail(guard, 1), [true]);
});

test('guard, the last of its group is never thrown out, and goes as soon as it may', () => {
  const guard = new OutlierGuard();
  assert.ok(!fail(guard, 50, 0, { mayEject: false }).includes(true));
  assert.equal(guard.state(0), 'in');
  assert.deepEqual(fail(guard, 1), [true]);
});

test('guard, ejections last 30 s times their number in a row, at most 300 s, each ended by one probe', () => {
  const guard = new OutlierGuard();
  let nowMs = 1000;
  fail(guard, 5, nowMs);
  for (const seconds of [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]) {
    assert.equal(guard.outUntilMs, nowMs + seconds * 1000);
    nowMs += seconds * 1000 - 1;
    assert.equal(guard.state(nowMs), 'out');
    nowMs += 1;
    assert.equal(guard.state(nowMs), 'in');
    assert.equal(guard.onSend(), true);
    assert.equal(guard.state(nowMs), 'probing');
    assert.equal(guard.onFailure(nowMs, { ...MAY, isProbe: true }), true);
  }
  nowMs += 300_000;
  guard.onSend();
  guard.onSuccess();
  assert.equal(guard.state(nowMs), 'in');
  assert.equal(guard.outUntilMs, undefined);
  fail(guard, 5, nowMs);
  assert.equal(guard.outUntilMs, nowMs + 30_000, 'a success ends the growth');
});

test('guard, only one probe is out at a time', () => {
  const guard = new OutlierGuard();
  fail(guard, 5);
  assert.equal(guard.onSend(), true);
  assert.equal(guard.onSend(), false);
  assert.equal(guard.state(30_000), 'probing');
});

test('guard, what was out before the ejection neither ends the probe nor lengthens the ejection', () => {
  const guard = new OutlierGuard();
  fail(guard, 5);
  assert.equal(guard.onFailure(29_000, { ...MAY, isProbe: false }), false);
  assert.equal(guard.outUntilMs, 30_000);
  guard.onSend();
  assert.equal(guard.onFailure(31_000, { ...MAY, isProbe: false }), false);
  guard.onNoVerdict({ isProbe: false });
  assert.equal(guard.state(31_000), 'probing');
  assert.equal(guard.outUntilMs, 30_000);
});

test('guard, a probe that tells nothing lets the next one try at once', () => {
  const guard = new OutlierGuard();
  fail(guard, 5);
  guard.onSend();
  guard.onNoVerdict();
  assert.equal(guard.state(30_000), 'in');
  assert.equal(guard.state(29_999), 'out');
});
