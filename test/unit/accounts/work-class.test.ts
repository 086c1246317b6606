// Tests of what a request asks of an account's purse.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { classify, costFor } from '../../../src/accounts/work-class.ts';
import type { BillableGeneration } from '../../../src/novelai/price.ts';

function generation(changes: Partial<BillableGeneration> = {}): BillableGeneration {
  return {
    kind: 'generate',
    model: 'nai-diffusion-4-5-full',
    widthPx: 832,
    heightPx: 1216,
    steps: 28,
    samples: 1,
    isSmea: false,
    isSmeaDyn: false,
    hasImage: false,
    hasMask: false,
    strength: undefined,
    inpaintStrength: undefined,
    vibes: 0,
    unencodedVibes: 0,
    characterReferences: 0,
    ...changes,
  };
}

const OPUS = { tier: 3, isActive: true, isAllowanceExhausted: false };

test('class, a normal picture is free on Opus and costs others (contract 7.3, rows 13 and 51)', () => {
  assert.deepEqual(classify(generation()).costAnlas, { opus: 0, opusWithoutAllowance: 0, plain: 20 });
  const v5 = classify(generation({ model: 'nai-diffusion-5-full' }));
  assert.deepEqual(v5.costAnlas, { opus: 0, opusWithoutAllowance: 30, plain: 30 });
});

test('class, what costs the same on every kind of account is one class, whatever it is', () => {
  assert.equal(classify(generation()).key, classify(generation({ vibes: 2 })).key);
  assert.notEqual(classify(generation()).key, classify(generation({ model: 'nai-diffusion-5-full' })).key);
  assert.equal(classify({ kind: 'encode-vibe' }).key, '2/2/2');
  assert.equal(classify({ kind: 'nothing' }).key, '0/0/0');
});

test('class, what NovelAI does at no price carries the reason', () => {
  const huge = classify(generation({ model: 'nai-diffusion-5-full', widthPx: 2048, heightPx: 1536, steps: 50 }));
  assert.ok(huge.refusal);
  assert.equal(classify(generation()).refusal, undefined);
});

test('cost, only an active Opus has the free sample, and V5 only while the allowance lasts', () => {
  const v5 = classify(generation({ model: 'nai-diffusion-5-full' }));
  assert.equal(costFor(v5, OPUS), 0);
  assert.equal(costFor(v5, { ...OPUS, isAllowanceExhausted: true }), 30);
  assert.equal(costFor(v5, { ...OPUS, isActive: false }), 30);
  for (const tier of [0, 1, 2]) assert.equal(costFor(v5, { ...OPUS, tier }), 30);
  assert.equal(costFor(classify(generation()), { ...OPUS, isAllowanceExhausted: true }), 0);
});
