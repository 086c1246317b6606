// Tests of the growing pauses.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { backoffMs } from '../../../src/lib/backoff.ts';

const PAUSE = { baseMs: 1000, maxMs: 30_000 };

test('backoff without jitter, doubles from the base to the greatest', () => {
  const pauses = [1, 2, 3, 4, 5, 6, 7].map((failures) => backoffMs(failures, PAUSE, () => 0.99));
  assert.deepEqual(pauses, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
});

test('backoff, no count of failures makes it fall, overflow or leave its bounds', () => {
  fc.assert(
    fc.property(fc.nat(), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (failures, random) => {
      const ms = backoffMs(failures, { ...PAUSE, jitter: 0.2 }, () => random);
      const plainMs = backoffMs(failures, PAUSE, () => random);
      assert.ok(plainMs >= 1000 && plainMs <= 30_000);
      assert.ok(ms >= plainMs && ms < plainMs * 1.2 + 1e-6);
      assert.ok(backoffMs(failures + 1, PAUSE, () => 0) >= plainMs);
    }),
  );
});

test('backoff, jitter spreads those who wait', () => {
  const jitter = { ...PAUSE, jitter: 0.5 };
  assert.equal(
    backoffMs(1, jitter, () => 0),
    1000,
  );
  assert.equal(
    backoffMs(1, jitter, () => 0.5),
    1250,
  );
});
