// Tests of the shared allowance that is waited for.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gate } from '../../../src/lib/gate.ts';

test('gate, never more at once than the whole, in the order of arrival; what is larger goes alone', async () => {
  const gate = new Gate(10);
  const order: number[] = [];
  let mostUsed = 0;
  let largestWithOthers = 0;
  const amounts = [4, 6, 30, 3, 3, 3, 3, 10];
  let inside = 0;
  await Promise.all(
    amounts.map((amount, index) =>
      gate.within(amount, async () => {
        order.push(index);
        inside += 1;
        if (amount > 10) largestWithOthers = Math.max(largestWithOthers, inside - 1);
        else mostUsed = Math.max(mostUsed, gate.used);
        await new Promise((resolve) => setImmediate(resolve));
        if (amount > 10) largestWithOthers = Math.max(largestWithOthers, inside - 1);
        inside -= 1;
      }),
    ),
  );
  assert.deepEqual(order, [...amounts.keys()]);
  assert.deepEqual([mostUsed, largestWithOthers, gate.used], [10, 0, 0]);
});

test('gate, work that fails gives its share back', async () => {
  const gate = new Gate(1);
  await assert.rejects(gate.within(1, () => Promise.reject(new Error('no'))));
  assert.equal(await gate.within(1, async () => gate.used), 1);
});
