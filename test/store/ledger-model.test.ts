// I5 under any interleaving: whatever happens in whatever order, the books balance to the unit and agree with NovelAI's own.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { onBothEngines } from './engines.ts';
import { openLedger, START_MS } from './ledger-fixture.ts';
import { LedgerModel, type Op } from './ledger-model.ts';

const pick = fc.nat({ max: 20 });
const account = fc.nat({ max: 1 });
const client = fc.nat({ max: 2 });
const price = fc.constantFrom(0, 5, 13, 20, 20);
const limit = fc.option(fc.constantFrom(0, 20, 45, 90), { nil: null });

const usualOps: fc.WeightedArbitrary<Op>[] = [
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('reserve' as const),
      client,
      costAnlas: price,
      images: fc.nat({ max: 2 }),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('send' as const),
      pick,
      account,
      quotedAnlas: fc.option(price, { nil: undefined, freq: 3 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('charge' as const), pick }) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('end' as const),
      pick,
      how: fc.constantFrom(
        'settle' as const,
        'settle' as const,
        'release' as const,
        'hold' as const,
        'hold' as const,
        'unsend' as const,
      ),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('read' as const),
      account,
      stage: fc.constantFrom('start' as const, 'answer' as const, 'finish' as const, 'finish' as const),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('limit' as const),
      client,
      limits: fc.record({
        anlasPerDay: limit,
        anlasPerMonth: limit,
        anlasTotal: limit,
        imagesPerDay: fc.option(fc.nat({ max: 4 }), { nil: null }),
      }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('time' as const),
      ms: fc.constantFrom(100, 20_000, 70_000, 70_000, 40_000_000),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('jump' as const), ms: fc.constantFrom(-3_600_000, 3_600_000) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('crash' as const) }) },
];
const ownerOp: fc.WeightedArbitrary<Op> = {
  weight: 1,
  arbitrary: fc.record({ kind: fc.constant('owner' as const), account, anlas: fc.constantFrom(1, 3, 7, 20, 33, -50) }),
};

onBothEngines('ledger, any interleaving', (database) => {
  // Each run on PostgreSQL makes a database of its own, which takes most of its time.
  const numRuns = database.engine === 'sqlite' ? 40 : 6;

  for (const [name, ops] of [
    ['nobody else uses the accounts', usualOps],
    ['the owner spends and buys at the same time', [...usualOps, ownerOp]],
  ] as const)
    test(`${name}: every balance agrees with the truth, after every kind of trouble`, async () => {
      const sum: LedgerModel['counts'] = {
        granted: 0,
        refused: 0,
        settled: 0,
        held: 0,
        resolved: 0,
        crashes: 0,
        drift: 0,
      };
      const steps = fc.array(fc.oneof(...ops), { minLength: 40, maxLength: 160, size: 'max' });
      await fc.assert(
        fc.asyncProperty(steps, async (run) => {
          const { store, clock, ledger } = await openLedger(database, START_MS, { waitsForDisk: false });
          const model = new LedgerModel(store, clock, ledger);
          await model.start();
          for (const [index, op] of run.entries()) {
            await model.apply(op);
            if (index % 20 === 0) await model.verify();
          }
          await model.finish();
          for (const key of Object.keys(sum) as (keyof typeof sum)[]) sum[key] += model.counts[key];
          await store.close();
        }),
        { numRuns, interruptAfterTimeLimit: 90_000, markInterruptAsFailure: false, endOnFailure: true },
      );
      for (const [what, count] of Object.entries(sum))
        if (what !== 'drift') assert.ok(count >= numRuns / 3, `only ${count} ${what}`);
    });
});
