// What an account's balance says about attempts whose charge is not known.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { judgeReading, type ReadingToJudge, type Verdict } from '../../../src/ledger/judge-reading.ts';

function judge(fall: number, { unknowns = [], overlapping = [] }: Partial<ReadingToJudge>): Verdict {
  return judgeReading({ expectedAnlas: 1000, actualAnlas: 1000 - fall, unknowns, overlapping });
}

function unknown(id: string, quotedAnlas: number, isOver = true) {
  return { id, quotedAnlas, isOver };
}

function clear(verdict: Verdict) {
  assert.ok(verdict.isClear);
  return { ...verdict, charges: Object.fromEntries(verdict.charges) };
}

const NONE = { isClear: true, charges: {}, isProof: true, undecidable: [], driftAnlas: 0, carriedAnlas: 0 };

test('nothing unknown, a fall is drift and a rise too', () => {
  assert.deepEqual(clear(judge(0, {})), NONE);
  assert.equal(clear(judge(7, {})).driftAnlas, 7);
  assert.equal(clear(judge(-10_000, {})).driftAnlas, -10_000);
});

test('one unknown attempt, was charged or not as the balance says', () => {
  const unknowns = [unknown('a', 20)];
  assert.deepEqual(clear(judge(20, { unknowns })), { ...NONE, charges: { a: 20 } });
  assert.deepEqual(clear(judge(0, { unknowns })), { ...NONE, charges: { a: 0 } });
});

test('several with different prices, told apart by their sum', () => {
  const unknowns = [unknown('a', 20), unknown('b', 13), unknown('c', 5)];
  assert.deepEqual(clear(judge(18, { unknowns })), { ...NONE, charges: { a: 0, b: 13, c: 5 } });
});

test('several sums that fit, charge the oldest and are no proof', () => {
  const unknowns = [unknown('a', 20), unknown('b', 20), unknown('c', 20)];
  assert.deepEqual(clear(judge(40, { unknowns })), { ...NONE, charges: { a: 20, b: 20, c: 0 }, isProof: false });
  assert.equal(clear(judge(60, { unknowns })).isProof, true, 'all of them is the only way');
});

test('less gone than any of them costs, proves that none was charged, and is drift', () => {
  const verdict = clear(judge(3, { unknowns: [unknown('a', 20), unknown('b', 5)] }));
  assert.deepEqual(verdict, { ...NONE, charges: { a: 0, b: 0 }, driftAnlas: 3 });
});

test('a balance that no sum explains, leaves the unknown undecidable and is drift', () => {
  for (const fall of [27, -100, 8]) {
    const verdict = clear(judge(fall, { unknowns: [unknown('a', 20), unknown('b', 5)] }));
    assert.deepEqual(verdict.undecidable, ['a', 'b'], `${fall}`);
    assert.equal(verdict.driftAnlas, fall);
    assert.deepEqual(verdict.charges, {});
  }
});

test('paid work under way, whose charge the balance holds already or not yet, is carried over', () => {
  const open = [{ anlas: 20, isCounted: false }];
  assert.equal(clear(judge(0, { overlapping: open })).carriedAnlas, 0);
  assert.equal(clear(judge(20, { overlapping: open })).carriedAnlas, -20, 'in the balance before the ledger counts it');
  const ended = [{ anlas: 20, isCounted: true }];
  assert.equal(clear(judge(0, { overlapping: ended })).carriedAnlas, 0);
  assert.equal(clear(judge(-20, { overlapping: ended })).carriedAnlas, 20, 'counted, but not in the balance yet');
});

test('paid work under way that leaves more than one possibility or none, makes the reading unclear', () => {
  const overlapping = [{ anlas: 20, isCounted: false }];
  assert.equal(judge(20, { overlapping, unknowns: [unknown('a', 20)] }).isClear, false);
  assert.equal(judge(7, { overlapping }).isClear, false);
  assert.deepEqual(clear(judge(5, { overlapping, unknowns: [unknown('a', 5)] })).charges, { a: 5 });
});

test('an attempt that may still be worked on, is found charged but never found free', () => {
  const unknowns = [unknown('a', 20, false)];
  assert.deepEqual(clear(judge(20, { unknowns })).charges, { a: 20 });
  const verdict = clear(judge(0, { unknowns }));
  assert.deepEqual(verdict.charges, {});
  assert.deepEqual(verdict.undecidable, []);
});

test('hundreds of unknown attempts, still judged', () => {
  const unknowns = Array.from({ length: 300 }, (_, index) => unknown(`u${index}`, 5 + (index % 30)));
  const verdict = clear(judge(1000, { unknowns }));
  const sum = Object.values(verdict.charges).reduce((total, charge) => total + charge, 0);
  assert.equal(sum, 1000);
  assert.equal(verdict.isProof, false);
});

test('whatever really happened, a proof names exactly that, and every verdict adds up to the balance', () => {
  const attempt = fc.record({ quotedAnlas: fc.integer({ min: 1, max: 30 }), isCharged: fc.boolean() });
  let proofs = 0;
  fc.assert(
    fc.property(fc.array(attempt, { maxLength: 6 }), fc.array(attempt, { maxLength: 2 }), (truth, others) => {
      const unknowns = truth.map(({ quotedAnlas }, index) => unknown(`u${index}`, quotedAnlas));
      const overlapping = others.map(({ quotedAnlas }) => ({ anlas: quotedAnlas, isCounted: false }));
      const fall = [...truth, ...others].reduce(
        (sum, { quotedAnlas, isCharged }) => sum + (isCharged ? quotedAnlas : 0),
        0,
      );
      const verdict = judge(fall, { unknowns, overlapping });
      if (!verdict.isClear) return;
      const charged = [...verdict.charges.values()].reduce((sum, charge) => sum + charge, 0);
      assert.equal(charged - verdict.carriedAnlas + verdict.driftAnlas, fall);
      if (!verdict.isProof) return;
      proofs += 1;
      for (const [index, { quotedAnlas, isCharged }] of truth.entries())
        assert.equal(verdict.charges.get(`u${index}`), isCharged ? quotedAnlas : 0);
    }),
    { numRuns: 1000 },
  );
  assert.ok(proofs > 100, `${proofs} proofs`);
});
