// Estimates: sensible before anything was seen, learnt afterwards, bounded for ever.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { HoldingTimeEstimates } from '../../../src/scheduler/estimates.ts';
import type { Workload } from '../../../src/scheduler/estimates.ts';
import { createSeededRandom } from '../../../src/scheduler/seeded-random.ts';

const portrait: Workload = {
  kind: 'generate',
  model: 'nai-diffusion-4-5-full',
  pixels: 832 * 1216,
  steps: 23,
  samples: 1,
};

test('formula, agrees with what was observed (contract 3.1, 3.5)', () => {
  const estimates = new HoldingTimeEstimates();
  const { p50Ms, p90Ms, seen } = estimates.estimate(portrait);
  assert.ok(p50Ms > 3_200 && p50Ms < 3_700, `${p50Ms} for 832x1216 at 23 steps`);
  assert.ok(p90Ms > p50Ms);
  assert.equal(seen, 0);
  const removal = estimates.estimate({ ...portrait, kind: 'bg-removal', steps: 28 });
  assert.ok(removal.p50Ms > 12_000 && removal.p50Ms < 17_000, `${removal.p50Ms} for a background removal`);
});

test('formula, grows with pixels, steps, samples and V5', () => {
  const estimates = new HoldingTimeEstimates();
  const base = estimates.estimate(portrait).p50Ms;
  for (const change of [{ pixels: 3_145_728 }, { steps: 50 }, { samples: 4 }, { model: 'nai-diffusion-5-full' }]) {
    assert.ok(estimates.estimate({ ...portrait, ...change }).p50Ms > base, JSON.stringify(change));
  }
  assert.ok(estimates.estimate({ ...portrait, kind: 'something new' }).p50Ms > 0);
  assert.ok(estimates.estimate({ kind: 'text', model: 'glm-4-6', pixels: 0, steps: 150, samples: 1 }).p50Ms > 1_000);
});

test('estimate, learns the quantiles of real durations', () => {
  const estimates = new HoldingTimeEstimates();
  const random = createSeededRandom(1);
  for (let job = 0; job < 200; job += 1) estimates.record(portrait, 8_000 + random() * 4_000);
  const { p50Ms, p90Ms, seen } = estimates.estimate(portrait);
  assert.ok(Math.abs(p50Ms - 10_000) < 600, String(p50Ms));
  assert.ok(Math.abs(p90Ms - 11_600) < 600, String(p90Ms));
  assert.equal(seen, 200);
});

test('estimate, follows when NovelAI becomes slower', () => {
  const estimates = new HoldingTimeEstimates();
  for (let job = 0; job < 100; job += 1) estimates.record(portrait, 3_000);
  for (let job = 0; job < 64; job += 1) estimates.record(portrait, 9_000);
  assert.ok(estimates.estimate(portrait).p50Ms > 8_000);
});

test('estimate, one size of a model teaches about the others', () => {
  const estimates = new HoldingTimeEstimates();
  const large = { ...portrait, pixels: 1_536 * 1_024 };
  const before = estimates.estimate(large).p50Ms;
  for (let job = 0; job < 30; job += 1) estimates.record(portrait, 2 * 3_460);
  const after = estimates.estimate(large);
  assert.equal(after.seen, 0);
  assert.ok(Math.abs(after.p50Ms / before - 2) < 0.1, `${before} became ${after.p50Ms}`);
});

test('memory, is bounded by the oldest being forgotten', () => {
  const estimates = new HoldingTimeEstimates({ maxBuckets: 10, samplesPerBucket: 4 });
  for (let steps = 1; steps <= 50; steps += 1) {
    for (let job = 0; job < 3; job += 1) estimates.record({ ...portrait, steps: steps * 4 }, 5_000);
    assert.ok(estimates.size <= 10);
  }
  assert.equal(estimates.size, 10);
  assert.equal(estimates.estimate({ ...portrait, steps: 4 }).seen, 0);
  assert.equal(estimates.estimate({ ...portrait, steps: 200 }).seen, 3);
});

test('estimate, is always a positive pair in order, whatever was recorded', () => {
  const workload = fc.record({
    kind: fc.constantFrom('generate', 'upscale', 'text', 'constructor'),
    model: fc.constantFrom('nai-diffusion-5-full', 'nai-diffusion-3', ''),
    pixels: fc.nat(4_000_000),
    steps: fc.nat(60),
    samples: fc.nat(8),
  });
  const records = fc.array(fc.tuple(workload, fc.double({ min: 0.001, max: 1e7, noNaN: true })), { maxLength: 40 });
  fc.assert(
    fc.property(records, workload, (recorded, asked) => {
      const estimates = new HoldingTimeEstimates({ maxBuckets: 5 });
      for (const [work, heldMs] of recorded) estimates.record(work, heldMs);
      const { p50Ms, p90Ms } = estimates.estimate(asked);
      assert.ok(p50Ms > 0 && p90Ms >= p50Ms && p90Ms < Number.POSITIVE_INFINITY, `${p50Ms} ${p90Ms}`);
    }),
  );
});

test('record, refuses what is no duration', () => {
  const estimates = new HoldingTimeEstimates();
  for (const heldMs of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
    assert.throws(() => estimates.record(portrait, heldMs), RangeError);
  }
});
