// Days and months of budgets.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { periodOf, resetsAtMs, utcDay } from '../../../src/ledger/budgets.ts';

test('a day, is the one in UTC, whatever the machine’s zone', () => {
  assert.equal(utcDay(Date.UTC(2026, 10, 24, 23, 59, 59, 999)), '2026-11-24');
  assert.equal(utcDay(Date.UTC(2026, 10, 25)), '2026-11-25');
});

test('each budget, counts in its own period and ends with it', () => {
  const cases = [
    ['anlas_day', '2026-12-31', '2026-12-31', Date.UTC(2027, 0, 1)],
    ['images_day', '2028-02-28', '2028-02-28', Date.UTC(2028, 1, 29)],
    ['anlas_month', '2026-12-31', '2026-12', Date.UTC(2027, 0, 1)],
    ['anlas_month', '2026-11-01', '2026-11', Date.UTC(2026, 11, 1)],
    ['anlas_total', '2026-11-01', 'all', undefined],
  ] as const;
  for (const [budget, day, period, resets] of cases) {
    assert.equal(periodOf(budget, day), period);
    assert.equal(resetsAtMs(budget, day), resets);
  }
});
