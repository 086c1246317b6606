// The heap against a sorted list: every item that moves knows where it is.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { IndexedHeap } from '../../../src/scheduler/indexed-heap.ts';

interface Item {
  value: number;
  index: number;
}

const operations = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('push' as const), value: fc.nat(50), pick: fc.nat() }),
    fc.record({ kind: fc.constantFrom('pop' as const, 'remove' as const), value: fc.nat(50), pick: fc.nat() }),
    fc.record({ kind: fc.constant('change' as const), value: fc.nat(50), pick: fc.nat() }),
  ),
  { minLength: 20, maxLength: 120 },
);

/** Ten values share a key, so that both halves of the order are needed. */
const keyOf = ({ value }: Item) => Math.floor(value / 10);

/** Runs the operations on the heap and on a plain list; throws where they differ. Gives how much was done. */
function compare(
  run: readonly { kind: string; value: number; pick: number }[],
  { keyOf, isBefore }: { keyOf: (item: Item) => number; isBefore: (a: Item, b: Item) => boolean },
) {
  const heap = new IndexedHeap<Item>({
    keyOf,
    isBefore,
    onMove: (item, index) => {
      item.index = index;
    },
  });
  const list: Item[] = [];
  const drop = (item: Item): void => void list.splice(list.indexOf(item), 1);
  let removed = 0;
  for (const { kind, value, pick } of run) {
    const picked = list[pick % Math.max(1, list.length)];
    if (kind === 'push') {
      const item = { value, index: -1 };
      heap.push(item);
      list.push(item);
    } else if (kind === 'pop') {
      const item = heap.pop();
      assert.equal(item?.value, list.length === 0 ? undefined : Math.min(...list.map((each) => each.value)));
      if (item !== undefined) drop(item);
      removed += 1;
    } else if (picked !== undefined && kind === 'remove') {
      assert.equal(heap.removeAt(picked.index), picked);
      assert.equal(picked.index, -1);
      drop(picked);
      removed += 1;
    } else if (picked !== undefined) {
      picked.value = value;
      heap.updateAt(picked.index);
    }
    assert.equal(heap.size, list.length);
    for (const item of list) assert.equal(heap.items[item.index], item);
  }
  const sorted = list.map((item) => item.value).toSorted((a, b) => a - b);
  for (const count of [0, 1, 5, list.length + 3]) {
    assert.deepEqual(
      heap.smallest(count).map((item) => item.value),
      sorted.slice(0, count),
    );
  }
  const copy = heap.copy();
  const drained: number[] = [];
  for (let item = copy.pop(); item !== undefined; item = copy.pop()) drained.push(item.value);
  assert.deepEqual(drained, sorted);
  for (const item of list) assert.equal(heap.items[item.index], item, 'a copy moves nobody');
  return removed;
}

test('indexed heap, gives the smallest and finds every item after any operations', () => {
  let removed = 0;
  fc.assert(
    fc.property(operations, (run) => {
      removed += compare(run, { keyOf, isBefore: (a, b) => a.value < b.value });
    }),
  );
  assert.ok(removed > 500, `only ${removed} removals were tried`);
});

test('indexed heap, the comparison notices an order that is wrong now and then', () => {
  const result = fc.check(
    fc.property(operations, (run) => {
      compare(run, { keyOf, isBefore: (a, b) => (b.value === 7 ? a.value > b.value : a.value < b.value) });
    }),
  );
  assert.ok(result.failed);
});

test('indexed heap, the comparison notices keys that are wrong now and then', () => {
  const result = fc.check(
    fc.property(operations, (run) => {
      compare(run, { keyOf: (item) => (item.value === 7 ? 5 : keyOf(item)), isBefore: (a, b) => a.value < b.value });
    }),
  );
  assert.ok(result.failed);
});

test('indexed heap, an index where nothing is throws', () => {
  const heap = new IndexedHeap<number>({ keyOf: (value) => value, isBefore: () => false });
  heap.push(1);
  assert.throws(() => heap.removeAt(-1), RangeError);
  assert.throws(() => heap.updateAt(1), RangeError);
});
