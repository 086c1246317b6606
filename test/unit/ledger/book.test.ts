// The arithmetic of one budget: granted = available + reserved + held + settled, whatever is done to it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { applyMovement, Book, NOTHING } from '../../../src/ledger/book.ts';

const amount = fc.integer({ min: 0, max: 100 });
const limit = fc.option(fc.integer({ min: 0, max: 300 }), { nil: null });
const step = fc.oneof(
  fc.record({ kind: fc.constant('limit' as const), limit }),
  fc.record({ kind: fc.constant('reserve' as const), amount }),
  fc.record({ kind: fc.constant('hold' as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
  fc.record({
    kind: fc.constantFrom('settle' as const, 'release' as const, 'requote' as const),
    from: fc.constantFrom('reserved' as const, 'held' as const),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
    charged: amount,
  }),
);

test('any steps, keep the rule of what is granted, nothing below zero, and postings that add up to the balances', () => {
  fc.assert(
    fc.property(limit, fc.array(step, { maxLength: 40 }), (firstLimit, steps) => {
      const book = new Book(null);
      book.setLimit(firstLimit);
      for (const current of steps) {
        const { reserved, held } = book.balances;
        if (current.kind === 'limit') book.setLimit(current.limit);
        else if (current.kind === 'reserve') {
          if (book.canTake(current.amount)) book.take('reserved', current.amount);
        } else if (current.kind === 'hold') book.pass('reserved', 'held', Math.floor(reserved * current.share));
        else {
          const part = Math.floor((current.from === 'reserved' ? reserved : held) * current.share);
          if (current.kind === 'settle') book.settle(current.from, part, current.charged);
          else if (current.kind === 'release') book.giveBack(current.from, part);
          else book.take(current.from, current.charged);
        }
        const now = book.balances;
        assert.equal(now.granted, now.available + now.reserved + now.held + now.settled);
        assert.equal(now.granted, Math.max(book.limit ?? 0, book.used));
        for (const value of Object.values(now)) assert.ok(value >= 0, JSON.stringify(now));
      }
      const replayed = { ...NOTHING };
      for (const movement of book.movements) {
        assert.ok(movement.amount > 0);
        applyMovement(replayed, movement);
      }
      assert.deepEqual(replayed, book.balances);
    }),
    { numRuns: 500 },
  );
});

test('a budget for ten, lets exactly ten in, and again what was given back', () => {
  const book = new Book(null);
  book.setLimit(10);
  let admitted = 0;
  for (let tries = 0; tries < 200; tries += 1)
    if (book.canTake(1)) {
      book.take('reserved', 1);
      admitted += 1;
    }
  assert.equal(admitted, 10);
  book.giveBack('reserved', 3);
  assert.equal(book.balances.available, 3);
  assert.equal(book.canTake(4), false);
});

test('a charge below its quote, is settled, and the rest is available again', () => {
  const book = new Book(null);
  book.setLimit(10);
  book.take('reserved', 8);
  book.settle('reserved', 8, 3);
  assert.deepEqual(book.balances, { granted: 10, available: 7, reserved: 0, held: 0, settled: 3 });
});

test('a charge above its quote, is settled in full, and the budget is overdrawn by granting the difference', () => {
  const book = new Book(null);
  book.setLimit(10);
  book.take('reserved', 8);
  book.settle('reserved', 8, 25);
  assert.deepEqual(book.balances, { granted: 25, available: 0, reserved: 0, held: 0, settled: 25 });
  assert.equal(book.canTake(1), false);
  assert.equal(book.canTake(0), true, 'free work is not the budget’s concern');
});

test('a limit lowered below what is used, grants nothing more until it fits again', () => {
  const book = new Book(null);
  book.setLimit(10);
  book.take('reserved', 8);
  book.setLimit(5);
  assert.equal(book.balances.granted, 8);
  book.giveBack('reserved', 2);
  assert.deepEqual(book.balances, { granted: 6, available: 0, reserved: 6, held: 0, settled: 0 });
  book.giveBack('reserved', 2);
  assert.deepEqual(book.balances, { granted: 5, available: 1, reserved: 4, held: 0, settled: 0 });
});

test('without a limit, exactly what is used is granted, and a limit set later counts it', () => {
  const book = new Book(null);
  book.take('reserved', 7);
  assert.deepEqual(book.balances, { granted: 7, available: 0, reserved: 7, held: 0, settled: 0 });
  book.setLimit(10);
  assert.equal(book.canTake(3), true);
  assert.equal(book.canTake(4), false);
});
