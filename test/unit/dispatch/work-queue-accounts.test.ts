// Tests of the queue as accounts come, go and change: what waits is used at once where it can be, and told at once where not.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GenerationRequest } from '../../../src/dispatch/generation-request.ts';
import type { Lease } from '../../../src/dispatch/work-queue.ts';
import { ProxyError } from '../../../src/lib/proxy-error.ts';
import { settle } from '../../support/fake-clock.ts';
import { DispatchUnderTest, PAID_WORK, watch, type Watched } from '../../support/dispatch-under-test.ts';
import { subscriptionAnswer } from '../../support/fake-novelai.ts';

const OPUS = subscriptionAnswer({ tier: 3 });

function enter(all: DispatchUnderTest, request: GenerationRequest): Watched<Lease> {
  return watch(all.queue.enter(request, 3000));
}

function codeOf({ error }: Watched<unknown>): string | undefined {
  return error instanceof ProxyError ? error.code : undefined;
}

test('accounts, one that becomes able to work is used at once: after its login, and when it is switched on (I3)', async () => {
  const all = new DispatchUnderTest();
  const a = await all.add('a', 'wait');
  const waiting = enter(all, all.request());
  await settle();
  assert.equal(waiting.settled, 0);
  await a.novelai.waiting[0]!.answer(OPUS);
  await settle();
  assert.equal(waiting.settled, 1);
  waiting.value!.release();
  a.account.drain('made up');
  await all.add('b', 'wait');
  const next = enter(all, all.request());
  await settle();
  a.account.enable();
  await settle();
  assert.equal(next.value?.account, a.account);
});

test('accounts, free work leaves a paying account idle and paid work does not wait behind it', async () => {
  const all = new DispatchUnderTest();
  await all.add('opus', OPUS);
  const plain = await all.add('plain', subscriptionAnswer({ tier: 1, fixedAnlas: 100 }));
  const free = Array.from({ length: 3 }, () => enter(all, all.request()));
  const paid = enter(all, all.request({ work: PAID_WORK }));
  await settle();
  assert.deepEqual(
    free.map(({ settled }) => settled),
    [1, 0, 0],
  );
  assert.equal(paid.value?.account, plain.account);
});

test('accounts, one whose balance rises takes the paid work that waits, without another event (I3)', async () => {
  const all = new DispatchUnderTest();
  await all.add('rich', subscriptionAnswer({ tier: 3, fixedAnlas: 100 }));
  const poor = await all.add('poor', subscriptionAnswer({ tier: 3 }));
  enter(all, all.request({ work: PAID_WORK }));
  const waiting = enter(all, all.request({ work: PAID_WORK }));
  await settle();
  assert.equal(waiting.settled, 0);
  poor.subscription = subscriptionAnswer({ tier: 3, fixedAnlas: 40 });
  await poor.account.balance.refresh();
  await settle();
  assert.equal(waiting.value?.account, poor.account);
});

test('accounts, free work goes to the paying account as soon as the Opus account is switched off', async () => {
  const all = new DispatchUnderTest();
  const opus = await all.add('opus', OPUS);
  const plain = await all.add('plain', subscriptionAnswer({ tier: 1, fixedAnlas: 100 }));
  enter(all, all.request());
  const waiting = enter(all, all.request());
  await settle();
  assert.equal(waiting.settled, 0);
  opus.account.disable('made up');
  await settle();
  assert.equal(waiting.value?.account, plain.account);
});

test('accounts, one taken off work finishes what runs, and what waits goes to the others', async () => {
  const all = new DispatchUnderTest();
  const a = await all.add('a', OPUS);
  const running = enter(all, all.request());
  const waiting = enter(all, all.request());
  await settle();
  const b = await all.add('b', OPUS);
  await settle();
  assert.equal(waiting.value?.account, b.account);
  const third = enter(all, all.request());
  all.pool.remove(a.account);
  all.queue.removeAccount(a.account);
  await settle();
  running.value!.release();
  await settle();
  assert.equal(third.settled, 0, 'nobody runs on an account that is gone');
  waiting.value.release();
  await settle();
  assert.equal(third.value?.account, b.account);
});

test('accounts, new settings in one go disturb nobody who waits, and the old run still counts (I1)', async () => {
  const all = new DispatchUnderTest();
  const old = await all.add('a', OPUS);
  const running = enter(all, all.request());
  const waiting = enter(all, all.request());
  await settle();
  all.pool.remove(old.account);
  all.queue.removeAccount(old.account);
  const fresh = await all.add('a', OPUS);
  await settle();
  assert.equal(waiting.settled, 0, 'the account is still busy under its old settings');
  running.value!.release();
  await settle();
  assert.equal(waiting.value?.account, fresh.account);
});

test('no hope, who waits is told at once when the last account is switched off or cannot log in', async () => {
  const all = new DispatchUnderTest();
  const a = await all.add('a', 'wait');
  const waiting = enter(all, all.request());
  await settle();
  await a.novelai.waiting[0]!.answer({ status: 401 });
  await settle(12);
  await a.novelai.waiting[0]!.answer({ status: 401 });
  await settle(12);
  assert.equal(codeOf(waiting), 'upstream_no_account');
  assert.match((waiting.error as ProxyError).message, /a: NovelAI refuses its token/);
  assert.ok((waiting.error as ProxyError).retryAfterMs! > 0);
  assert.equal(all.queue.stats('image').queued, 0);
});

test('no hope, of paying refuses that work alone', async () => {
  const all = new DispatchUnderTest();
  const a = await all.add('a', subscriptionAnswer({ tier: 3, fixedAnlas: 100 }));
  enter(all, all.request());
  const paid = enter(all, all.request({ work: PAID_WORK }));
  const free = enter(all, all.request());
  await settle();
  a.account.apply('cannot_pay', { kind: 'image', work: PAID_WORK });
  await settle();
  assert.equal(codeOf(paid), 'upstream_not_enough_anlas');
  assert.equal(free.settled, 0);
});

test('no hope, one that enters when it is gone already does not wait for ever', async () => {
  const all = new DispatchUnderTest();
  const a = await all.add('a', OPUS);
  a.account.disable('made up');
  await settle();
  const waiting = enter(all, all.request());
  await settle();
  assert.equal(codeOf(waiting), 'upstream_no_account');
});

test('no hope, when the last account is taken off work everybody who waits is told, however many left before', async () => {
  const all = new DispatchUnderTest();
  const a = await all.add('a', OPUS);
  enter(all, all.request());
  const leaving = all.request();
  enter(all, leaving);
  const waiting = [enter(all, all.request()), enter(all, all.request({ slot: 'text' })), enter(all, all.request())];
  const text = enter(all, all.request({ slot: 'text' }));
  await settle();
  leaving.sink.leave();
  all.pool.remove(a.account);
  all.queue.removeAccount(a.account);
  await settle();
  assert.deepEqual([...waiting, text].map(codeOf), [
    'upstream_no_account',
    undefined,
    'upstream_no_account',
    'upstream_no_account',
  ]);
});
