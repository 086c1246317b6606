// The ledger's time never goes back, and never stands still for long.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { LedgerClock } from '../../../src/ledger/ledger-clock.ts';
import { FakeClock } from './fake-clock.ts';

const DAY_MS = 86_400_000;

test('any jumps of the wall clock, never take the ledger’s time back', () => {
  const jump = fc.record({
    elapsedMs: fc.double({ min: 0, max: 100_000, noNaN: true }),
    jumpMs: fc.integer({ min: -3 * DAY_MS, max: 3 * DAY_MS }),
  });
  fc.assert(
    fc.property(fc.array(jump, { maxLength: 30 }), (jumps) => {
      const clock = new FakeClock(10 * DAY_MS);
      const ledgerClock = new LedgerClock(clock, 0);
      let before = ledgerClock.nowMs();
      for (const { elapsedMs, jumpMs } of jumps) {
        clock.advance(elapsedMs);
        clock.jump(jumpMs);
        const now = ledgerClock.nowMs();
        assert.ok(now >= before && Number.isInteger(now));
        assert.ok(now >= Math.floor(clock.wallMs()));
        before = now;
      }
    }),
  );
});

test('a clock set back by an hour, stands still and is right again after an hour', () => {
  const clock = new FakeClock(10 * DAY_MS);
  const ledgerClock = new LedgerClock(clock, 0);
  const before = ledgerClock.nowMs();
  clock.jump(-3_600_000);
  clock.advance(1_800_000);
  assert.equal(ledgerClock.nowMs(), before);
  assert.equal(ledgerClock.lagMs, 1_800_000);
  clock.advance(2_000_000);
  assert.equal(ledgerClock.nowMs(), clock.wallMs());
  assert.equal(ledgerClock.lagMs, 0);
});

test('a clock that had been years ahead, runs on at its own pace, however often it is asked', () => {
  const clock = new FakeClock(10 * DAY_MS);
  const ledgerClock = new LedgerClock(clock, 400 * DAY_MS);
  for (let asked = 0; asked < 1000; asked += 1) {
    clock.advance(0.4);
    ledgerClock.nowMs();
  }
  clock.advance(2 * DAY_MS);
  const passedMs = ledgerClock.nowMs() - 400 * DAY_MS;
  assert.ok(Math.abs(passedMs - 2 * DAY_MS - 400) <= 1, `${passedMs}`);
});
