// Checks that the balance is read from every known form of the answer, and from nothing else.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { readSubscription } from '../../../src/novelai/subscription.ts';

/** The live Opus answer of contract 3.9. */
const OPUS = {
  tier: 3,
  active: true,
  paymentProcessor: '...',
  paymentProcessorData: null,
  expiresAt: 1_793_000_000,
  perks: { maxPriorityActions: 1000, startPriority: 10, contextTokens: 8192, unlimitedMaxPriority: true },
  trainingStepsLeft: { fixedTrainingStepsLeft: 9646, purchasedTrainingSteps: 12 },
  accountType: 0,
  usage: { percent: 100, isNegative: false, timeUntilNextPercent: 7888 },
};
const READ = {
  tier: 3,
  isActive: true,
  expiresAtUnix: 1_793_000_000,
  fixedAnlas: 9646,
  purchasedAnlas: 12,
  allowance: { percent: 100, isNegative: false, secondsUntilNextPercent: 7888 },
};

test('readSubscription, reads the live answer', () => {
  assert.deepEqual(readSubscription(OPUS), READ);
});

test('readSubscription, reads it out of /user/data too', () => {
  assert.deepEqual(readSubscription({ priority: {}, subscription: OPUS, information: {} }), READ);
});

test('readSubscription, has no allowance where NovelAI gives none', () => {
  const { usage: _usage, ...tier0 } = { ...OPUS, tier: 0, active: false, expiresAt: 0 };
  assert.deepEqual(readSubscription(tier0), {
    tier: 0,
    isActive: false,
    expiresAtUnix: 0,
    fixedAnlas: 9646,
    purchasedAnlas: 12,
  });
  assert.equal(readSubscription({ ...OPUS, usage: null })?.allowance, undefined);
  assert.equal(readSubscription({ ...OPUS, usage: {} })?.allowance, undefined);
});

test('readSubscription, keeps what it can of odd members', () => {
  const odd = { tier: 3, active: 'yes', trainingStepsLeft: { fixedTrainingStepsLeft: 5 }, usage: { isNegative: true } };
  assert.deepEqual(readSubscription(odd), {
    tier: 3,
    isActive: false,
    expiresAtUnix: 0,
    fixedAnlas: 5,
    purchasedAnlas: 0,
    allowance: { percent: 0, isNegative: true, secondsUntilNextPercent: 0 },
  });
});

test('readSubscription, gives undefined when tier or Anlas are missing', () => {
  const { trainingStepsLeft: _steps, ...withoutAnlas } = OPUS;
  const { tier: _tier, ...withoutTier } = OPUS;
  for (const json of [
    undefined,
    null,
    1,
    'x',
    [],
    {},
    withoutAnlas,
    withoutTier,
    { ...OPUS, tier: '3' },
    { statusCode: 401 },
  ]) {
    assert.equal(readSubscription(json), undefined, JSON.stringify(json));
  }
});

test('readSubscription, never throws', () => {
  fc.assert(fc.property(fc.anything(), (json) => void readSubscription(json)));
  fc.assert(
    fc.property(fc.anything(), fc.anything(), (steps, usage) => {
      const read = readSubscription({ ...OPUS, trainingStepsLeft: steps, usage });
      assert.ok(read === undefined || Number.isFinite(read.fixedAnlas + read.purchasedAnlas));
    }),
  );
});
