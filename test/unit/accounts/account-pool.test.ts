// Tests of the choice of accounts: who may run what, so that nobody pays for what is free elsewhere, and who can be spared.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EffectDetail } from '../../../src/accounts/account.ts';
import type { WorkClass } from '../../../src/accounts/work-class.ts';
import { AccountsUnderTest } from '../../support/accounts-under-test.ts';
import { settle } from '../../support/fake-clock.ts';
import { subscriptionAnswer } from '../../support/fake-novelai.ts';

function work(opus: number, opusWithoutAllowance: number, plain: number): WorkClass {
  return { key: `${opus}/${opusWithoutAllowance}/${plain}`, costAnlas: { opus, opusWithoutAllowance, plain } };
}
const FREE = work(0, 0, 20);
const V5 = work(0, 30, 30);
const PAID = work(30, 30, 30);
const OPUS = subscriptionAnswer({ tier: 3 });
const RICH_OPUS = subscriptionAnswer({ tier: 3, fixedAnlas: 100 });
const RICH_PLAIN = subscriptionAnswer({ tier: 1, fixedAnlas: 100 });
const POOR_PLAIN = subscriptionAnswer({ tier: 1 });
const SUSPECT: EffectDetail = { kind: 'image', work: FREE };

function eject(account: { apply(effect: 'suspect', detail: EffectDetail): void }): void {
  for (let n = 0; n < 5; n += 1) account.apply('suspect', SUSPECT);
}

test('pool, free work never goes to a paying account while an Opus account is healthy', async () => {
  const all = new AccountsUnderTest();
  const opus = (await all.add('opus', OPUS)).account;
  const plain = (await all.add('plain', RICH_PLAIN)).account;
  assert.equal(all.pool.mayServe(opus, FREE), true);
  assert.equal(all.pool.mayServe(plain, FREE), false);
  assert.equal(all.pool.cheapest(FREE), 0);
  // Resting or busy for a while is no reason to pay.
  opus.apply('locked', { ...SUSPECT, retryAfterMs: 60_000 });
  assert.equal(all.pool.mayServe(plain, FREE), false);
});

test('pool, free work goes to whoever can pay when no Opus account is there any more', async () => {
  const all = new AccountsUnderTest();
  const opus = (await all.add('opus', OPUS)).account;
  const plain = (await all.add('plain', RICH_PLAIN)).account;
  opus.disable('made up');
  assert.equal(all.pool.mayServe(plain, FREE), true);
  assert.equal(all.pool.cheapest(FREE), 20);
  opus.enable();
  assert.equal(all.pool.mayServe(plain, FREE), false);
});

test('pool, work that costs the same everywhere may go to every account that can pay', async () => {
  const all = new AccountsUnderTest();
  const rich = (await all.add('rich', RICH_OPUS)).account;
  const plain = (await all.add('plain', RICH_PLAIN)).account;
  const poor = (await all.add('poor', OPUS)).account;
  assert.deepEqual(
    [rich, plain, poor].map((account) => all.pool.mayServe(account, PAID)),
    [true, true, false],
  );
});

test('pool, an empty allowance sends V5 to an account that still has one', async () => {
  const all = new AccountsUnderTest();
  const empty = (await all.add('empty', subscriptionAnswer({ tier: 3, fixedAnlas: 100, isNegative: true }))).account;
  const full = (await all.add('full', OPUS)).account;
  assert.equal(all.pool.mayServe(empty, V5), false);
  assert.equal(all.pool.mayServe(full, V5), true);
  assert.equal(all.pool.mayServe(empty, FREE), true);
});

test('pool, a 402 moves that work to the account that can still pay, until the balance changes', async () => {
  const all = new AccountsUnderTest();
  const first = await all.add('first', RICH_OPUS);
  const second = (await all.add('second', RICH_PLAIN)).account;
  first.account.apply('cannot_pay', { kind: 'image', work: PAID });
  assert.equal(all.pool.mayServe(first.account, PAID), false);
  assert.equal(all.pool.mayServe(second, PAID), true);
  assert.equal(all.pool.outlook(PAID, 'image').isServable, true);
  second.balance.onPaymentRefused(PAID);
  const outlook = all.pool.outlook(PAID, 'image');
  assert.ok(!outlook.isServable && outlook.reason === 'cannot_pay');
  await settle(6);
  first.subscription = subscriptionAnswer({ tier: 3, fixedAnlas: 1000 });
  await first.account.balance.refresh();
  assert.equal(all.pool.mayServe(first.account, PAID), true);
});

test('outlook, of resting and refreshing accounts is good, of switched-off ones is not, and says why', async () => {
  const all = new AccountsUnderTest();
  const a = (await all.add('a', OPUS)).account;
  const b = (await all.add('b', OPUS)).account;
  b.drain('made up: draining');
  a.apply('blocked', { ...SUSPECT, retryAfterMs: 60_000 });
  assert.equal(all.pool.outlook(FREE, 'image').isServable, true);
  a.disable('made up: disabled');
  const outlook = all.pool.outlook(FREE, 'image');
  assert.ok(!outlook.isServable && outlook.reason === 'no_account');
  assert.match(outlook.why, /a: made up: disabled; b: made up: draining/);
});

test('outlook, without accounts or Anlas is not servable', async () => {
  const all = new AccountsUnderTest();
  const none = all.pool.outlook(FREE, 'image');
  assert.ok(!none.isServable && none.why === 'no account is configured');
  await all.add('poor', POOR_PLAIN);
  const poor = all.pool.outlook(FREE, 'image');
  assert.ok(!poor.isServable && poor.reason === 'cannot_pay');
  assert.equal(all.pool.outlook(work(0, 0, 0), 'text').isServable, true);
});

test('outlook, an Opus that is ejected still counts: it comes back', async () => {
  const all = new AccountsUnderTest();
  const opus = (await all.add('opus', OPUS)).account;
  await all.add('other', OPUS);
  eject(opus);
  assert.equal(opus.isHealthy, false);
  assert.equal(all.pool.outlook(FREE, 'image').isServable, true);
});

test('spare, the last healthy one of a class is never thrown out, though another class is well', async () => {
  for (const [kept, other] of [
    [OPUS, RICH_PLAIN],
    [RICH_PLAIN, OPUS],
    [OPUS, POOR_PLAIN],
  ] as const) {
    const all = new AccountsUnderTest();
    const { account } = await all.add('kept', kept);
    await all.add('other', other);
    eject(account);
    assert.equal(account.availability('image').state, 'ready');
  }
});

test('spare, one whose every class another healthy one covers is thrown out', async () => {
  for (const [thrown, others] of [
    [OPUS, [OPUS]],
    [POOR_PLAIN, [OPUS]],
    [RICH_OPUS, [OPUS, RICH_PLAIN]],
    [RICH_PLAIN, [RICH_OPUS]],
  ] as const) {
    const all = new AccountsUnderTest();
    const { account } = await all.add('thrown', thrown);
    for (const [index, other] of others.entries()) await all.add(`other-${index}`, other);
    eject(account);
    assert.equal(account.availability('image').state, 'cooling');
  }
});

test('readiness, is there while one account works or only rests, and tells of each', async () => {
  const all = new AccountsUnderTest();
  const a = (await all.add('a', OPUS)).account;
  const b = (await all.add('b', OPUS)).account;
  a.disable('made up');
  b.apply('blocked', SUSPECT);
  const readiness = all.pool.readiness();
  assert.equal(readiness.isReady, true);
  assert.deepEqual(
    readiness.accounts.map(({ name, state }) => `${name} ${state}`),
    ['a disabled', 'b cooling'],
  );
  b.disable('made up');
  assert.equal(all.pool.readiness().isReady, false);
});

test('remove, a removed account counts for nothing any more', async () => {
  const all = new AccountsUnderTest();
  const opus = (await all.add('opus', OPUS)).account;
  const plain = (await all.add('plain', RICH_PLAIN)).account;
  all.pool.remove(opus);
  all.pool.remove(opus);
  assert.deepEqual(all.pool.accounts, [plain]);
  assert.equal(all.pool.mayServe(plain, FREE), true);
});
