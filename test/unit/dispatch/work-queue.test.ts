// Tests of the queue where requests wait for an account: nobody is forgotten, nobody holds what he does not use.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { GenerationRequest } from '../../../src/dispatch/generation-request.ts';
import type { Lease } from '../../../src/dispatch/work-queue.ts';
import { ProxyError } from '../../../src/lib/proxy-error.ts';
import { settle } from '../../support/fake-clock.ts';
import {
  client,
  DispatchUnderTest,
  FREE_WORK,
  PAID_WORK,
  watch,
  type Watched,
} from '../../support/dispatch-under-test.ts';
import { subscriptionAnswer } from '../../support/fake-novelai.ts';
import type { FakeSink } from '../../support/fake-sink.ts';

const OPUS = subscriptionAnswer({ tier: 3 });

type TestRequest = GenerationRequest & { sink: FakeSink };

function enter(all: DispatchUnderTest, request: TestRequest): Watched<Lease> {
  return watch(all.queue.enter(request, 3000));
}

function codeOf({ error }: Watched<unknown>): string | undefined {
  return error instanceof ProxyError ? error.code : undefined;
}

test('queue, an idle account is given at once, and a busy one when it comes free', async () => {
  const all = new DispatchUnderTest();
  const { account } = await all.add('a', OPUS);
  const first = enter(all, all.request());
  const second = enter(all, all.request());
  await settle();
  assert.equal(first.value?.account, account);
  assert.equal(second.settled, 0);
  assert.equal(all.queue.running, 1);
  await all.clock.advance(2000);
  first.value.release();
  await settle();
  assert.equal(second.value?.waitedMs, 2000);
  second.value.release();
  assert.equal(all.queue.running, 0);
});

test('queue, image and text of one account run side by side', async () => {
  const all = new DispatchUnderTest();
  await all.add('a', OPUS);
  const image = enter(all, all.request());
  const text = enter(all, all.request({ slot: 'text' }));
  await settle();
  assert.deepEqual([image.value?.kind, text.value?.kind], ['image', 'text']);
});

test('queue, an account runs as many at once as it is allowed to, and no more', async () => {
  const all = new DispatchUnderTest();
  await all.add('a', OPUS, { config: { concurrency: 2 } });
  const leases = Array.from({ length: 4 }, () => enter(all, all.request()));
  await settle();
  assert.deepEqual(
    leases.map(({ settled }) => settled),
    [1, 1, 0, 0],
  );
});

test('queue, a lease given back twice frees the slot once', async () => {
  const all = new DispatchUnderTest();
  await all.add('a', OPUS);
  const waiting = Array.from({ length: 3 }, () => enter(all, all.request()));
  await settle();
  waiting[0]!.value!.release();
  waiting[0]!.value!.release();
  await settle();
  waiting[0]!.value!.release();
  await settle();
  assert.deepEqual(
    waiting.map(({ settled }) => settled),
    [1, 1, 0],
  );
});

test('queue, a client that leaves while it waits holds nothing and delays nobody', async () => {
  const all = new DispatchUnderTest();
  await all.add('a', OPUS);
  const running = enter(all, all.request());
  const leaving = all.request();
  const left = enter(all, leaving);
  const next = enter(all, all.request());
  await settle();
  leaving.sink.leave();
  await settle();
  assert.equal(codeOf(left), 'client_left');
  running.value!.release();
  await settle();
  assert.equal(next.settled, 1);
  assert.equal(all.queue.stats('image').queued, 0);
});

test('queue, a client that has left already is turned away at once', async () => {
  const all = new DispatchUnderTest();
  await all.add('a', OPUS);
  const request = all.request();
  request.sink.leave();
  const left = enter(all, request);
  await settle();
  assert.equal(codeOf(left), 'client_left');
  assert.equal(all.queue.running, 0);
});

test('queue, a client that leaves with its lease does not lose it for the account: release frees it', async () => {
  const all = new DispatchUnderTest();
  await all.add('a', OPUS);
  const request = all.request();
  const held = enter(all, request);
  await settle();
  request.sink.leave();
  assert.equal(all.queue.running, 1, 'until the exchange has ended');
  held.value!.release();
  assert.equal(all.queue.running, 0);
});

test('deadline, who waits too long is told so, with a time to come back, and the next deadline counts', async () => {
  const all = new DispatchUnderTest();
  await all.add('a', OPUS);
  enter(all, all.request());
  const nowMs = all.clock.monotonicMs();
  const late = enter(all, all.request({ deadlineMs: nowMs + 60_000 }));
  const early = enter(all, all.request({ deadlineMs: nowMs + 30_000 }));
  await all.clock.advance(30_001);
  assert.equal(codeOf(early), 'proxy_queue_timeout');
  assert.ok((early.error as ProxyError).retryAfterMs! >= 1000);
  assert.equal(late.settled, 0);
  await all.clock.advance(30_000);
  assert.equal(codeOf(late), 'proxy_queue_timeout');
});

test('deadline, a timer that runs a little early is set again', async () => {
  const all = new DispatchUnderTest();
  await all.add('a', OPUS);
  enter(all, all.request());
  all.clock.earlyMs = 0.5;
  const late = enter(all, all.request({ deadlineMs: all.clock.monotonicMs() + 5000 }));
  await settle();
  all.clock.earlyMs = 0;
  await all.clock.advance(4999.9);
  assert.equal(late.settled, 0);
  await all.clock.advance(10);
  assert.equal(codeOf(late), 'proxy_queue_timeout');
});

test('deadline, one timer for all, and none when nobody waits', async () => {
  const all = new DispatchUnderTest();
  await all.add('a', OPUS);
  const before = all.clock.timersLeft;
  const running = enter(all, all.request());
  const waiting = Array.from({ length: 50 }, () => all.request());
  for (const request of waiting) enter(all, request);
  await settle();
  assert.equal(all.clock.timersLeft, before + 1);
  for (const request of waiting) request.sink.leave();
  running.value!.release();
  await all.clock.advance(600_001);
  assert.equal(all.clock.timersLeft, before);
});

test('limits, a full queue refuses, per client and in all', async () => {
  const all = new DispatchUnderTest({ limit: 4, limitPerClient: 2 });
  await all.add('a', OPUS);
  enter(all, all.request());
  const mine = Array.from({ length: 3 }, () => enter(all, all.request()));
  const yours = Array.from({ length: 2 }, () => enter(all, all.request({ client: client('b') })));
  const third = enter(all, all.request({ client: client('c') }));
  await settle();
  assert.deepEqual(mine.map(codeOf), [undefined, undefined, 'client_queue_full']);
  assert.deepEqual(yours.map(codeOf), [undefined, undefined]);
  assert.equal(codeOf(third), 'proxy_queue_full');
  assert.ok((third.error as ProxyError).retryAfterMs! >= 1000);
});

test('reentry, a request turned away by NovelAI keeps its place before those that came later', async () => {
  const all = new DispatchUnderTest();
  await all.add('a', OPUS);
  const request = all.request();
  const first = enter(all, request);
  const later = enter(all, all.request());
  await settle();
  const again = watch(all.queue.reenter(request, first.value!));
  await settle();
  assert.equal(again.settled, 1);
  assert.equal(later.settled, 0);
  again.value!.release();
  await settle();
  assert.equal(later.settled, 1);
});

test('reentry, gives the lease back, so that others run while the request waits for its account', async () => {
  const all = new DispatchUnderTest();
  const { account } = await all.add('a', OPUS);
  const request = all.request();
  const first = enter(all, request);
  const text = enter(all, all.request({ slot: 'text' }));
  await settle();
  account.apply('locked', { kind: 'image', work: FREE_WORK, retryAfterMs: 5000 });
  const again = watch(all.queue.reenter(request, first.value!));
  await settle();
  assert.equal(again.settled, 0);
  assert.equal(all.queue.running, 1, 'the text alone');
  assert.equal(text.settled, 1);
  await all.clock.advance(5001);
  assert.equal(again.settled, 1, 'dispatched by the end of the pause itself (I3)');
});

test('reentry, of a client that left or of a stopped queue gives the lease back and refuses', async () => {
  for (const reason of ['left', 'stopped'] as const) {
    const all = new DispatchUnderTest();
    await all.add('a', OPUS);
    const request = all.request();
    const first = enter(all, request);
    await settle();
    if (reason === 'left') request.sink.leave();
    else all.queue.stop();
    const again = watch(all.queue.reenter(request, first.value!));
    await settle();
    assert.equal(codeOf(again), reason === 'left' ? 'client_left' : 'proxy_stopping');
    assert.equal(all.queue.running, 0);
  }
});

test('reentry, a client that leaves while it waits again is let go', async () => {
  const all = new DispatchUnderTest();
  const { account } = await all.add('a', OPUS);
  const request = all.request();
  const first = enter(all, request);
  await settle();
  account.apply('locked', { kind: 'image', work: FREE_WORK, retryAfterMs: 5000 });
  const again = watch(all.queue.reenter(request, first.value!));
  await settle();
  request.sink.leave();
  await settle();
  assert.equal(codeOf(again), 'client_left');
  await all.clock.advance(6000);
  assert.equal(all.queue.running, 0);
});

test('reentry, the deadline still holds', async () => {
  const all = new DispatchUnderTest();
  const { account } = await all.add('a', OPUS);
  const request = all.request({ deadlineMs: all.clock.monotonicMs() + 10_000 });
  const first = enter(all, request);
  await settle();
  account.apply('locked', { kind: 'image', work: FREE_WORK, retryAfterMs: 60_000 });
  const again = watch(all.queue.reenter(request, first.value!));
  await all.clock.advance(10_001);
  assert.equal(codeOf(again), 'proxy_queue_timeout');
});

test('stop, refuses those who wait and those who come, and leaves leases as they are', async () => {
  const all = new DispatchUnderTest();
  await all.add('a', OPUS);
  const running = enter(all, all.request());
  const waiting = Array.from({ length: 3 }, () => enter(all, all.request()));
  await settle();
  all.queue.stop();
  const late = enter(all, all.request());
  await settle();
  for (const refused of [...waiting, late]) assert.equal(codeOf(refused), 'proxy_stopping');
  assert.equal(all.queue.running, 1);
  running.value!.release();
  assert.equal(all.queue.running, 0);
});

test('waiting requests, are listed by client and have a forecast', async () => {
  const all = new DispatchUnderTest();
  await all.add('a', OPUS);
  enter(all, all.request());
  const mine = all.request();
  enter(all, mine);
  enter(all, all.request({ client: client('other') }));
  await settle();
  assert.deepEqual([...all.queue.waitingOf('client-1')], [mine]);
  assert.ok((all.queue.forecast(mine)?.position ?? 0) >= 1);
});

test('any sequence, every request settles once, slots are never overrun, and in the end nothing is held', async () => {
  const event = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom('enter', 'enterText', 'enterPaid') },
    { weight: 3, arbitrary: fc.constant('release') },
    { weight: 2, arbitrary: fc.constantFrom('leave', 'reenter') },
    { weight: 1, arbitrary: fc.constantFrom('lock', 'suspect', 'cannotPay', 'toggle', 'replace', 'time') },
  );
  let granted = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(event, fc.nat(7)), { maxLength: 60 }), async (events) => {
      const all = new DispatchUnderTest({ limit: 20, limitPerClient: 15 });
      const accounts = [
        await all.add('a', OPUS),
        await all.add('b', subscriptionAnswer({ tier: 1, fixedAnlas: 100 }), { config: { concurrency: 2 } }),
      ];
      const waits: { request: TestRequest; watched: Watched<Lease> }[] = [];
      const leases: { request: TestRequest; lease: Lease }[] = [];
      const begin = (request: TestRequest, promise: Promise<Lease>) => {
        const watched = watch(promise);
        waits.push({ request, watched });
        promise.then(
          (lease) => {
            granted += 1;
            leases.push({ request, lease });
            const same = leases.filter(
              ({ lease: { account, kind } }) => account.name === lease.account.name && kind === lease.kind,
            );
            assert.ok(same.length <= lease.account.concurrency, 'never more at once than allowed (I1)');
          },
          () => undefined,
        );
      };
      for (const [what, pick] of events) {
        const target = accounts[pick % 2]!;
        if (what.startsWith('enter')) {
          const request = all.request({
            slot: what === 'enterText' ? 'text' : 'image',
            work: what === 'enterPaid' ? PAID_WORK : FREE_WORK,
            client: client(`client-${pick % 3}`),
            deadlineMs: all.clock.monotonicMs() + 5000 * (pick + 1),
          });
          begin(request, all.queue.enter(request, 1000 + pick));
        } else if (what === 'release') leases.splice(pick % (leases.length || 1), 1)[0]?.lease.release();
        else if (what === 'leave') waits[pick % (waits.length || 1)]?.request.sink.leave();
        else if (what === 'reenter') {
          const [held] = leases.splice(pick % (leases.length || 1), 1);
          if (held) begin(held.request, all.queue.reenter(held.request, held.lease));
        } else if (what === 'lock') target.account.apply('locked', { kind: 'image', work: FREE_WORK });
        else if (what === 'suspect') target.account.apply('suspect', { kind: 'image', work: FREE_WORK });
        else if (what === 'cannotPay') target.account.apply('cannot_pay', { kind: 'image', work: PAID_WORK });
        else if (what === 'time') await all.clock.advance(1000 * pick);
        else if (what === 'toggle') {
          if (target.account.availability('text').state === 'disabled') target.account.enable();
          else target.account.disable('made up');
        } else {
          all.pool.remove(target.account);
          all.queue.removeAccount(target.account);
          target.account.close();
          accounts[pick % 2] = await all.add(target.account.name, target.subscription, {
            config: { concurrency: target.account.concurrency },
          });
        }
        await settle(1);
      }
      for (const { account } of accounts) account.enable();
      for (let round = 0; round < 200 && leases.length + all.queue.stats('image').queued > 0; round += 1) {
        for (const { lease } of leases.splice(0)) lease.release();
        await all.clock.advance(500);
      }
      await all.clock.advance(60_000);
      for (const { lease } of leases.splice(0)) lease.release();
      assert.deepEqual(
        waits.filter(({ watched }) => watched.settled !== 1).map(({ request }) => request.id),
        [],
        'every wait settled exactly once',
      );
      assert.equal(all.queue.running, 0);
      assert.equal(all.queue.waitingOf('client-0').size, 0);
    }),
    { numRuns: 60 },
  );
  assert.ok(granted > 50, `${granted} leases`);
});
