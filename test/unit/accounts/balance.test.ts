// Tests of what is known of an account's Anlas: when it is read, what a 402 teaches, and what work costs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Balance } from '../../../src/accounts/balance.ts';
import type { WorkClass } from '../../../src/accounts/work-class.ts';
import type { Subscription } from '../../../src/novelai/subscription.ts';
import type { SubscriptionResult } from '../../../src/upstream/account-api.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';

const OPUS: Subscription = {
  tier: 3,
  isActive: true,
  expiresAtUnix: 1_793_000_000,
  fixedAnlas: 90,
  purchasedAnlas: 10,
  allowance: { percent: 50, isNegative: false, secondsUntilNextPercent: 100 },
};
const PLAIN: Subscription = { tier: 1, isActive: true, expiresAtUnix: 0, fixedAnlas: 30, purchasedAnlas: 0 };

function work(opus: number, opusWithoutAllowance: number, plain: number): WorkClass {
  return { key: `${opus}/${opusWithoutAllowance}/${plain}`, costAnlas: { opus, opusWithoutAllowance, plain } };
}
const FREE_ON_OPUS = work(0, 0, 20);
const FREE_WITH_ALLOWANCE = work(0, 30, 30);
const LARGE = work(30, 30, 30);
const HUGE = work(200, 200, 200);
const TEXT = work(0, 0, 0);

function setUp() {
  const clock = new FakeClock();
  const reads: { answer: (result: SubscriptionResult | undefined) => Promise<void>; fail: () => Promise<void> }[] = [];
  const all = { clock, reads, started: 0, changes: 0, balance: undefined as unknown as Balance };
  all.balance = new Balance({
    clock,
    fetch() {
      all.started += 1;
      return new Promise((resolve, reject) => {
        reads.push({
          answer(result) {
            reads.shift();
            resolve(result);
            return settle();
          },
          fail() {
            reads.shift();
            reject(new Error('made up'));
            return settle();
          },
        });
      });
    },
    onChange: () => (all.changes += 1),
  });
  return all;
}

async function known(subscription: Subscription) {
  const all = setUp();
  void all.balance.refresh();
  await settle();
  await all.reads[0]!.answer({ kind: 'ok', subscription });
  return all;
}

test('reading, the first gives tier and both pools of Anlas and tells of the change', async () => {
  const all = setUp();
  assert.equal(all.balance.isFirstReadOver, false);
  assert.equal(all.balance.anlas, undefined);
  void all.balance.refresh();
  await settle();
  await all.reads[0]!.answer({ kind: 'ok', subscription: OPUS });
  assert.equal(all.balance.isFirstReadOver, true);
  assert.equal(all.balance.anlas, 100);
  assert.equal(all.changes, 1);
});

test('reading, callers before it begins share it; those during it get one more that began after them', async () => {
  const all = setUp();
  const early = [all.balance.refresh(), all.balance.refresh()];
  await settle();
  assert.equal(all.started, 1);
  let isOver = false;
  const late = Promise.all([all.balance.refresh(), all.balance.refresh(), ...early]).then(() => (isOver = true));
  await all.reads[0]!.answer({ kind: 'ok', subscription: OPUS });
  assert.equal(all.started, 2);
  assert.equal(isOver, false);
  await all.reads[0]!.answer({ kind: 'ok', subscription: PLAIN });
  await late;
  assert.equal(all.started, 2);
  assert.equal(all.balance.anlas, 30);
});

test('reading, is repeated on a slow timer and no more often', async () => {
  const all = await known(OPUS);
  await all.clock.advance(299_999);
  assert.equal(all.started, 1);
  await all.clock.advance(1);
  assert.equal(all.started, 2);
  await all.reads[0]!.answer({ kind: 'ok', subscription: OPUS });
  assert.equal(all.clock.timersLeft, 1);
});

test('reading, one that fails keeps what was known and is repeated after 10, 20, 40 ... 300 s', async () => {
  const all = await known(OPUS);
  void all.balance.refresh();
  await settle();
  for (const seconds of [10, 20, 40, 80, 160, 300, 300]) {
    await all.reads[0]!.answer({ kind: 'failed', why: 'made up' });
    assert.equal(all.balance.anlas, 100);
    await all.clock.advance(seconds * 1000 - 1);
    assert.equal(all.reads.length, 0, `${seconds} s: too early`);
    await all.clock.advance(1);
    assert.equal(all.reads.length, 1, `${seconds} s: due`);
  }
  await all.reads[0]!.answer({ kind: 'ok', subscription: OPUS });
  assert.equal(all.clock.nextTimerMs, 300_000);
});

test('reading, one that throws is a failed one: nothing is left unhandled and the next one comes', async () => {
  const all = setUp();
  const reading = all.balance.refresh();
  await settle();
  await all.reads[0]!.fail();
  await reading;
  assert.equal(all.balance.isFirstReadOver, true);
  await all.clock.advance(10_000);
  assert.equal(all.reads.length, 1);
});

test('first reading, a failed one ends the wait, a refused token does not: its renewal brings the next reading', async () => {
  const all = setUp();
  void all.balance.refresh();
  await settle();
  await all.reads[0]!.answer({ kind: 'refused', why: 'made up' });
  assert.equal(all.balance.isFirstReadOver, false);
  void all.balance.refresh();
  await settle();
  await all.reads[0]!.answer(undefined);
  assert.equal(all.balance.isFirstReadOver, false, 'without a token nothing was read');
  void all.balance.refresh();
  await settle();
  await all.reads[0]!.answer({ kind: 'failed', why: 'made up' });
  assert.equal(all.balance.isFirstReadOver, true);
});

test('stale, a reading of the last seconds is not repeated, and one under way is joined', async () => {
  const all = await known(OPUS);
  await all.balance.refreshIfStale();
  await all.clock.advance(10_000);
  await all.balance.refreshIfStale();
  assert.equal(all.started, 1);
  await all.clock.advance(1);
  const waiting = [all.balance.refreshIfStale(), all.balance.refreshIfStale()];
  await settle();
  assert.equal(all.started, 2);
  waiting.push(all.balance.refreshIfStale());
  await all.reads[0]!.answer({ kind: 'ok', subscription: OPUS });
  await Promise.all(waiting);
  assert.equal(all.started, 2);
});

test('price, follows tier, activity and allowance', async () => {
  const opus = (await known(OPUS)).balance;
  assert.deepEqual(
    [FREE_ON_OPUS, FREE_WITH_ALLOWANCE, LARGE, TEXT].map((w) => opus.priceOf(w)),
    [0, 0, 30, 0],
  );
  const used = { ...OPUS, allowance: { percent: 0, isNegative: true, secondsUntilNextPercent: 1 } };
  const exhausted = (await known(used)).balance;
  assert.deepEqual(
    [FREE_ON_OPUS, FREE_WITH_ALLOWANCE].map((w) => exhausted.priceOf(w)),
    [0, 30],
  );
  const expired = (await known({ ...OPUS, isActive: false })).balance;
  assert.equal(expired.priceOf(FREE_ON_OPUS), 20);
  const plain = (await known(PLAIN)).balance;
  assert.deepEqual(
    [FREE_ON_OPUS, LARGE, TEXT].map((w) => plain.priceOf(w)),
    [20, 30, 0],
  );
});

test('price, of what the Anlas do not cover is undefined, to the unit', async () => {
  const { balance } = await known({ ...PLAIN, fixedAnlas: 29, purchasedAnlas: 1 });
  assert.equal(balance.priceOf(LARGE), 30);
  const less = (await known({ ...PLAIN, fixedAnlas: 29, purchasedAnlas: 0 })).balance;
  assert.equal(less.priceOf(LARGE), undefined);
  assert.equal(less.priceOf(TEXT), 0);
});

test('price, before any reading is the cheapest: NovelAI itself says 402', () => {
  const { balance } = setUp();
  assert.equal(balance.priceOf(FREE_ON_OPUS), 0);
  assert.equal(balance.priceOf(HUGE), 200);
});

test('402, its price and all above are not tried again, less is, and the balance is read', async () => {
  const all = await known({ ...OPUS, fixedAnlas: 1000 });
  all.balance.onPaymentRefused(LARGE);
  assert.equal(all.balance.priceOf(LARGE), undefined);
  assert.equal(all.balance.priceOf(HUGE), undefined);
  assert.equal(all.balance.priceOf(work(29, 29, 29)), 29);
  assert.equal(all.balance.priceOf(FREE_ON_OPUS), 0);
  await settle();
  assert.equal(all.reads.length, 1);
  all.balance.onPaymentRefused(work(100, 100, 100));
  assert.equal(all.balance.priceOf(LARGE), undefined, 'a dearer refusal does not raise the bar');
});

test('402, is remembered while the balance reads the same, for five minutes', async () => {
  const all = await known({ ...OPUS, fixedAnlas: 1000 });
  all.balance.onPaymentRefused(LARGE);
  await settle();
  await all.reads[0]!.answer({ kind: 'ok', subscription: { ...OPUS, fixedAnlas: 1000 } });
  assert.equal(all.balance.priceOf(LARGE), undefined);
  await all.clock.advance(299_999);
  assert.equal(all.balance.priceOf(LARGE), undefined);
  await all.clock.advance(1);
  assert.equal(all.balance.priceOf(LARGE), 30);
});

test('402, is forgotten as soon as anything about paying changed', async () => {
  const rich = { ...OPUS, fixedAnlas: 1000 };
  for (const changed of [
    { ...rich, fixedAnlas: 999 },
    { ...rich, purchasedAnlas: 1000 },
    { ...rich, tier: 2 },
    { ...rich, isActive: false },
    { ...rich, allowance: { percent: 0, isNegative: true, secondsUntilNextPercent: 1 } },
  ]) {
    const all = await known(rich);
    all.balance.onPaymentRefused(LARGE);
    await settle();
    await all.reads[0]!.answer({ kind: 'ok', subscription: changed });
    assert.equal(all.balance.priceOf(LARGE), 30);
  }
});

test('402, a second one to the same work on its way changes nothing', async () => {
  const all = await known({ ...OPUS, fixedAnlas: 1000 });
  all.balance.onPaymentRefused(LARGE);
  all.balance.onPaymentRefused(LARGE);
  assert.equal(all.balance.priceOf(FREE_ON_OPUS), 0);
  assert.equal(all.balance.priceOf(work(29, 29, 29)), 29);
});

test('402, to work that should have been free stops this class alone', async () => {
  const all = await known({ ...OPUS, fixedAnlas: 1000 });
  all.balance.onPaymentRefused(FREE_WITH_ALLOWANCE);
  assert.equal(all.balance.priceOf(FREE_WITH_ALLOWANCE), undefined);
  assert.deepEqual(
    [FREE_ON_OPUS, TEXT, LARGE].map((w) => all.balance.priceOf(w)),
    [0, 0, 30],
  );
  all.balance.onPaymentRefused(TEXT);
  assert.deepEqual(
    [FREE_WITH_ALLOWANCE, TEXT].map((w) => all.balance.priceOf(w)),
    [undefined, undefined],
  );
  assert.deepEqual(
    [FREE_ON_OPUS, LARGE].map((w) => all.balance.priceOf(w)),
    [0, 30],
  );
});

test('402, before any reading is judged anew by the first one', async () => {
  const all = setUp();
  all.balance.onPaymentRefused(TEXT);
  assert.equal(all.balance.priceOf(TEXT), undefined);
  await settle();
  await all.reads[0]!.answer({ kind: 'ok', subscription: { ...PLAIN, fixedAnlas: 0 } });
  assert.equal(all.balance.priceOf(FREE_ON_OPUS), undefined);
  assert.equal(all.balance.priceOf(TEXT), 0);
});

test('close, no timer and no reading is left, and a late answer changes nothing', async () => {
  const all = await known(OPUS);
  void all.balance.refresh();
  await settle();
  const { changes } = all;
  all.balance.close();
  await all.reads[0]!.answer({ kind: 'ok', subscription: PLAIN });
  assert.equal(all.changes, changes);
  assert.equal(all.balance.anlas, 100);
  await all.balance.refresh();
  assert.equal(all.started, 2);
  assert.equal(all.clock.timersLeft, 0);
});
