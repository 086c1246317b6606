// Tests of one account as a whole: when it can take work, what each effect does to it, and that it wakes by itself.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EffectDetail } from '../../../src/accounts/account.ts';
import type { WorkClass } from '../../../src/accounts/work-class.ts';
import { settle } from '../../support/fake-clock.ts';
import { subscriptionAnswer } from '../../support/fake-novelai.ts';
import { AccountsUnderTest } from '../../support/accounts-under-test.ts';

function work(anlas: number): WorkClass {
  return { key: `${anlas}`, costAnlas: { opus: anlas, opusWithoutAllowance: anlas, plain: anlas } };
}
const FREE: EffectDetail = { kind: 'image', work: work(0) };
const PAID: EffectDetail = { kind: 'image', work: work(20) };

test('account, takes no work before its balance is known', async () => {
  const all = new AccountsUnderTest();
  const { account, novelai } = await all.add('a', 'wait');
  assert.equal(account.availability('image').state, 'refreshing');
  await novelai.waiting[0]!.answer(subscriptionAnswer({ fixedAnlas: 7 }));
  assert.equal(account.availability('image').state, 'ready');
  assert.equal(account.balance.anlas, 7);
  assert.equal(all.changes.at(-1), 'a');
});

test('account, a balance that cannot be read lets it work all the same', async () => {
  const all = new AccountsUnderTest();
  const { account } = await all.add('a', { status: 500 });
  assert.equal(account.availability('image').state, 'ready');
});

test('account, a token refused at the first reading disables it, and it comes back by itself', async () => {
  const all = new AccountsUnderTest();
  const added = await all.add('a', { status: 401, body: '{"statusCode":401,"message":"Unauthorized"}' });
  assert.equal(added.account.availability('image').state, 'disabled');
  assert.equal(added.account.isHealthy, false);
  added.subscription = subscriptionAnswer();
  await all.clock.advance(1000);
  await settle(12);
  assert.equal(added.account.availability('image').state, 'ready');
  assert.equal(added.account.isHealthy, true);
});

test('account, with a stale token and a login is not ready at an unknown price in between', async () => {
  const all = new AccountsUnderTest();
  const added = await all.add('a', 'wait', {
    config: { login: { email: 'owner@example.org', password: 'made-up-password' } },
  });
  const states = new Set<string>();
  all.onChange = (account) => states.add(`${account.availability('image').state}:${String(account.balance.anlas)}`);
  await added.novelai.waiting[0]!.answer({ status: 401 });
  // The access key takes a moment of a thread.
  while (added.novelai.waiting.length === 0) await new Promise((resolve) => setTimeout(resolve, 2));
  assert.equal(added.novelai.waiting[0]!.path, '/user/login');
  await added.novelai.waiting[0]!.answer({ status: 201, body: '{"accessToken":"made-up-new"}' });
  await settle(12);
  await added.novelai.waiting[0]!.answer(subscriptionAnswer({ fixedAnlas: 5 }));
  assert.equal(added.account.availability('image').state, 'ready');
  assert.ok(!states.has('ready:undefined'), [...states].join());
});

test('effects, locked rests only that kind of work and wakes by itself', async () => {
  const all = new AccountsUnderTest();
  const { account } = await all.add('a');
  account.apply('locked', { ...FREE, retryAfterMs: 5000 });
  assert.equal(account.availability('image').state, 'cooling');
  assert.equal(account.availability('image').untilMs, all.clock.monotonicMs() + 5000);
  assert.equal(account.availability('text').state, 'ready');
  const { length } = all.changes;
  await all.clock.advance(4999);
  assert.equal(all.changes.length, length);
  await all.clock.advance(2);
  assert.equal(all.changes.length, length + 1, 'told once');
  assert.equal(account.availability('image').state, 'ready');
});

test('effects, two pauses wake one after the other', async () => {
  const all = new AccountsUnderTest();
  const { account } = await all.add('a');
  account.apply('locked', { ...FREE, retryAfterMs: 9000 });
  account.apply('locked', { ...FREE, kind: 'text', retryAfterMs: 5000 });
  const woken: string[] = [];
  all.onChange = () => woken.push(['image', 'text'].map((k) => account.availability(k as 'image').state).join());
  await all.clock.advance(10_000);
  assert.deepEqual(woken, ['cooling,ready', 'ready,ready']);
});

test('effects, an alarm that comes early is set again', async () => {
  const all = new AccountsUnderTest();
  const { account } = await all.add('a');
  all.clock.earlyMs = 20;
  account.apply('locked', { ...FREE, retryAfterMs: 5000 });
  all.clock.earlyMs = 0;
  await all.clock.advance(4990);
  assert.equal(account.availability('image').state, 'cooling');
  const { length } = all.changes;
  await all.clock.advance(20);
  assert.ok(all.changes.length > length, 'told that it is well again');
  assert.equal(account.availability('image').state, 'ready');
});

test('effects, an answer that changes nothing is not told of', async () => {
  const all = new AccountsUnderTest();
  const { account } = await all.add('a');
  const { length } = all.changes;
  for (let count = 0; count < 5; count += 1) account.apply('success', FREE);
  assert.equal(all.changes.length, length);
});

test('effects, blocked rests the whole account, longer each time', async () => {
  const all = new AccountsUnderTest();
  const { account } = await all.add('a');
  for (const seconds of [1, 2, 4]) {
    account.apply('blocked', FREE);
    assert.equal(account.availability('text').untilMs, all.clock.monotonicMs() + seconds * 1000);
    assert.equal(account.availability('image').state, 'cooling');
    await all.clock.advance(seconds * 1000 + 1);
  }
  account.apply('success', FREE);
  account.apply('blocked', FREE);
  assert.equal(account.availability('image').untilMs, all.clock.monotonicMs() + 1000);
});

test('effects, five suspect answers in a row eject it while others are well, and one probe brings it back', async () => {
  const all = new AccountsUnderTest();
  const { account } = await all.add('a');
  await all.add('b');
  for (let n = 0; n < 5; n += 1) {
    assert.equal(account.availability('image').state, 'ready');
    account.onSend();
    account.apply('suspect', FREE);
  }
  assert.equal(account.availability('image').state, 'cooling');
  assert.equal(account.isHealthy, false);
  await all.clock.advance(30_001);
  assert.equal(account.availability('image').state, 'ready');
  account.onSend();
  assert.equal(account.availability('text').state, 'cooling', 'one probe at a time');
  account.apply('success', FREE);
  assert.equal(account.availability('image').state, 'ready');
  assert.equal(account.isHealthy, true);
});

test('effects, a probe that ends without a verdict does not block the account for ever', async () => {
  const all = new AccountsUnderTest();
  const { account } = await all.add('a');
  await all.add('b');
  for (const effect of ['untouched', 'unreached', 'token_refused', 'locked', 'blocked', 'cannot_pay'] as const) {
    for (let n = 0; n < 5; n += 1) account.apply('suspect', FREE);
    await all.clock.advance(300_001);
    account.onSend();
    account.apply(effect, PAID);
    await all.clock.advance(31_000);
    assert.equal(account.availability('image').state, 'ready', effect);
    account.apply('success', FREE);
  }
});

test('effects, the last healthy account is never ejected', async () => {
  const all = new AccountsUnderTest();
  const { account } = await all.add('a');
  const other = await all.add('b');
  other.account.disable('made up');
  for (let n = 0; n < 20; n += 1) account.apply('suspect', FREE);
  assert.equal(account.availability('image').state, 'ready');
});

test("effects, a client's bad requests never touch the account (I7)", async () => {
  const all = new AccountsUnderTest();
  const { account } = await all.add('a');
  await all.add('b');
  for (let n = 0; n < 100; n += 1) {
    account.onSend();
    account.apply('untouched', FREE);
    assert.equal(account.availability('image').state, 'ready');
  }
});

test('effects, work that cost something has the balance read again, free work does not', async () => {
  const all = new AccountsUnderTest();
  const { account, novelai } = await all.add('a');
  const before = novelai.calls.length;
  for (let n = 0; n < 10; n += 1) account.apply('success', FREE);
  await settle(12);
  assert.equal(novelai.calls.length, before);
  account.apply('success', PAID);
  await settle(12);
  assert.equal(novelai.calls.length, before + 1);
});

test('effects, 402 stops work of that price here and has the balance read again', async () => {
  const all = new AccountsUnderTest();
  const { account, novelai } = await all.add('a', subscriptionAnswer({ fixedAnlas: 100 }));
  const before = novelai.calls.length;
  assert.equal(account.balance.priceOf(work(20)), 20);
  account.apply('cannot_pay', PAID);
  assert.equal(account.balance.priceOf(work(20)), undefined);
  assert.equal(account.availability('image').state, 'ready', 'free work goes on');
  await settle(12);
  assert.equal(novelai.calls.length, before + 1);
});

test('rest, after an end that was not seen the account rests until the work is surely over (I1)', async () => {
  const all = new AccountsUnderTest();
  const { account } = await all.add('a');
  const untilMs = all.clock.monotonicMs() + 7000;
  account.apply('suspect', { ...FREE, restUntilMs: untilMs });
  assert.equal(account.availability('image').untilMs, untilMs);
  assert.equal(account.availability('text').state, 'ready');
  await all.clock.advance(7001);
  assert.equal(account.availability('image').state, 'ready');
});

test('gap, each end is followed by the pause that was asked for', async () => {
  const all = new AccountsUnderTest();
  const { account } = await all.add('a', subscriptionAnswer(), { deps: { gapMs: 800 } });
  for (const effect of ['success', 'untouched'] as const) {
    account.apply(effect, FREE);
    assert.equal(account.availability('image').untilMs, all.clock.monotonicMs() + 800);
    await all.clock.advance(801);
    assert.equal(account.availability('image').state, 'ready');
  }
});

test('administration, drained and disabled take no work and are not healthy; enabled is as before', async () => {
  const all = new AccountsUnderTest();
  const { account } = await all.add('a');
  account.drain('made up');
  assert.deepEqual(account.availability('image'), { state: 'draining', why: 'made up' });
  account.disable('made up too');
  assert.equal(account.availability('text').state, 'disabled');
  assert.equal(account.isHealthy, false);
  account.enable();
  assert.equal(account.availability('image').state, 'ready');
  assert.equal(all.changes.length >= 3, true);
});

test('close, no timer is left and nothing is told any more', async () => {
  const all = new AccountsUnderTest();
  const { account } = await all.add('a');
  account.apply('locked', { ...FREE, retryAfterMs: 60_000 });
  account.close();
  const { length } = all.changes;
  account.apply('blocked', FREE);
  await all.clock.advance(86_400_000);
  assert.equal(all.changes.length, length);
  assert.equal(all.clock.timersLeft, 0);
});
