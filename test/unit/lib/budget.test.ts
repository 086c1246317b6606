// Tests of the shared allowance.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Budget } from '../../../src/lib/budget.ts';

test('budget, gives out to the last unit and not one more', () => {
  const budget = new Budget(10);
  assert.equal(budget.tryTake(6), true);
  assert.equal(budget.tryTake(5), false);
  assert.equal(budget.used, 6);
  assert.equal(budget.tryTake(4), true);
  assert.equal(budget.tryTake(1), false);
  assert.equal(budget.tryTake(0), true);
  budget.giveBack(3);
  assert.equal(budget.tryTake(3), true);
  assert.equal(budget.used, 10);
});
