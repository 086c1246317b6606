// Checks that the truth log counts overlaps, busy time and totals rightly, and stays within its bound.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { TruthLog } from '../../../simulator/truth-log.ts';
import type { TruthRow } from '../../../simulator/truth-log.ts';

function arrive(truth: TruthLog, account = 'a', slot: 'image' | 'text' = 'image'): TruthRow {
  const row = truth.begin({ role: 'image', method: 'POST', path: '/x', receivedMs: 0 });
  truth.recognise(row, account);
  truth.openGeneration(row, slot);
  return row;
}

test('greatestOverlap, is the most that were open at once, for any order of arrivals and ends', () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 60 }), (arrivals) => {
      const truth = new TruthLog(1000);
      const open: TruthRow[] = [];
      let most = 0;
      for (const isArrival of arrivals) {
        if (isArrival) open.push(arrive(truth));
        else {
          const row = open.shift();
          if (row) truth.end(row, 1);
        }
        most = Math.max(most, open.length);
      }
      assert.equal(truth.account('a').greatestOverlap, most);
      assert.equal(truth.openRequests, open.length);
    }),
  );
});

test('overlap, counts accounts and slots apart, and an ended row only once', () => {
  const truth = new TruthLog(100);
  const first = arrive(truth, 'a', 'image');
  arrive(truth, 'a', 'text');
  arrive(truth, 'b', 'image');
  assert.equal(truth.totals().greatestOverlap, 1);
  truth.end(first, 1);
  truth.end(first, 2);
  assert.equal(arrive(truth, 'a', 'image').overlap, 1);
  assert.equal(truth.openRequests, 3);
});

test('busy time and utilisation, run from the first start to the last end', () => {
  const truth = new TruthLog(100);
  for (const [startMs, endMs] of [
    [100, 200],
    [250, 300],
  ] as const) {
    const row = arrive(truth);
    truth.startGeneration(row, startMs);
    truth.charge(row, 5, 1);
    truth.releaseGeneration(row, endMs, { isSuccess: endMs === 200 });
    truth.end(row, endMs);
  }
  const { busyMs, generations, succeeded, chargedAnlas, allowanceImages } = truth.account('a');
  assert.deepEqual([busyMs, generations, succeeded, chargedAnlas, allowanceImages], [150, 2, 1, 10, 2]);
  assert.equal(truth.utilisation('a'), 0.75);
  assert.equal(truth.utilisation('nobody'), 0);
});

test('rows, are bounded to the newest while the totals count all', () => {
  const truth = new TruthLog(100);
  for (let index = 0; index < 1000; index++) truth.end(arrive(truth), 1);
  const rows = truth.rows();
  assert.ok(rows.length >= 100 && rows.length <= 150, `${rows.length}`);
  assert.equal(rows.at(-1)?.id, 1000);
  assert.equal(truth.totals().requests, 1000);
  assert.equal(truth.totals().droppedRows, 1000 - rows.length);
  assert.equal(truth.rows(998).length, 2);
});

test('reset, forgets all but what is open, and goes on counting that', () => {
  const truth = new TruthLog(100);
  truth.end(arrive(truth), 1);
  const open = arrive(truth);
  truth.countLogin('a');
  truth.countLogin(undefined);
  truth.reset();
  assert.deepEqual(
    [truth.rows().length, truth.totals().requests, truth.totals().logins, truth.totals().refusedLogins],
    [1, 0, 0, 0],
  );
  assert.equal(arrive(truth).overlap, 2);
  truth.end(open, 2);
  assert.equal(truth.openRequests, 1);
});

test('whenIdle, resolves at once when nothing is open and otherwise at the last end', async () => {
  const truth = new TruthLog(100);
  await truth.whenIdle();
  const rows = [arrive(truth), arrive(truth)];
  let isIdle = false;
  const idle = truth.whenIdle().then(() => {
    isIdle = true;
  });
  for (const row of rows) {
    await Promise.resolve();
    assert.equal(isIdle, false);
    truth.end(row, 1);
  }
  await idle;
});
