// Tests of clients that leave at every moment of their request's way, and of many requests under any weather at once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { RequestRecord } from '../../../src/dispatch/passage.ts';
import { serveGeneration } from '../../../src/dispatch/serve-generation.ts';
import type { AccountUnderTest } from '../../support/accounts-under-test.ts';
import { settle } from '../../support/fake-clock.ts';
import { DispatchUnderTest, FREE_WORK, PAID_WORK, watch, type Watched } from '../../support/dispatch-under-test.ts';
import { subscriptionAnswer, type FakeCall, type FakeNovelai } from '../../support/fake-novelai.ts';
import type { FakeSink } from '../../support/fake-sink.ts';

const RICH = subscriptionAnswer({ tier: 3, fixedAnlas: 1000 });
const PICTURE = { status: 200, headers: { 'content-type': 'binary/octet-stream' }, body: 'picture' };

function generations(novelai: FakeNovelai): FakeCall[] {
  return novelai.waiting.filter(({ path }) => path.startsWith('/ai/'));
}

async function setUp(options: ConstructorParameters<typeof DispatchUnderTest>[0] = {}) {
  const all = new DispatchUnderTest(options);
  const a = await all.add('a', RICH);
  const timersBefore = all.clock.timersLeft;
  const request = all.request({ work: PAID_WORK });
  const record = watch(serveGeneration(request, all.deps));
  await settle(6);
  return { all, a, request, sink: request.sink, record, timersBefore };
}

function outcomeOf(all: DispatchUnderTest, record: Watched<RequestRecord>): string | undefined {
  assert.equal(record.settled, 1);
  assert.equal(all.ended.length, 1);
  return record.value?.outcome;
}

test('leaving, before the account came: nothing is sent', async () => {
  const all = new DispatchUnderTest();
  const a = await all.add('a', 'wait');
  const request = all.request();
  const record = watch(serveGeneration(request, all.deps));
  await settle(6);
  request.sink.leave();
  await settle(6);
  assert.equal(outcomeOf(all, record), 'cancelled_queued');
  await a.novelai.waiting[0]!.answer(RICH);
  await settle(6);
  assert.equal(generations(a.novelai).length, 0);
  assert.equal(all.queue.running, 0);
});

test('leaving, while a connection is made: nothing is sent, and the account is free at once', async () => {
  const all = new DispatchUnderTest();
  const a = await all.add('a', RICH);
  const request = all.request({ work: PAID_WORK });
  const dispatch = a.novelai.dispatch.bind(a.novelai);
  let connect: () => void = () => undefined;
  a.novelai.dispatch = (options, handler) => {
    connect = () => dispatch(options, handler);
    return true;
  };
  const record = watch(serveGeneration(request, all.deps));
  await settle(6);
  assert.equal(all.queue.running, 1);
  request.sink.leave();
  await settle(6);
  assert.equal(outcomeOf(all, record), 'cancelled_queued');
  assert.equal(all.queue.running, 0);
  assert.equal(a.account.availability('image').state, 'ready');
  connect();
  await settle(6);
  assert.equal(generations(a.novelai).length, 0, 'ended before it was written');
});

test('leaving, while NovelAI works: the account stays taken until the answer, and the money is booked', async () => {
  const { all, a, sink, record, timersBefore } = await setUp();
  const next = watch(serveGeneration(all.request(), all.deps));
  sink.leave();
  await settle(6);
  assert.equal(record.settled, 0);
  assert.equal(all.queue.running, 1);
  await all.clock.advance(5000);
  assert.equal(generations(a.novelai).length, 1, 'never two at once (I1)');
  await generations(a.novelai)[0]!.answer(PICTURE);
  await settle(6);
  assert.equal(outcomeOf(all, record), 'succeeded');
  assert.equal(record.value?.isDelivered, false);
  assert.equal(generations(a.novelai).length, 1, 'and the next one goes');
  await generations(a.novelai)[0]!.answer(PICTURE);
  await settle(6);
  assert.equal(next.settled, 1);
  await settle(20);
  assert.ok(all.clock.timersLeft <= timersBefore + 1, 'no drain timer is left');
  assert.deepEqual(sink.violations, []);
});

test('leaving, in the middle of the answer: the rest is taken and dropped', async () => {
  const { all, a, sink, record } = await setUp();
  const [call] = generations(a.novelai);
  await call!.head(200);
  await call!.data('half');
  sink.leave();
  await call!.data('rest');
  assert.equal(call!.isPaused, false);
  await call!.end();
  await settle(6);
  assert.equal(outcomeOf(all, record), 'succeeded');
  assert.equal(all.deps.readAhead.memory.used, 0);
  assert.deepEqual(sink.violations, []);
});

test('leaving, while NovelAI is asked to pause: the pause ends and so does the exchange', async () => {
  const { all, a, sink, record } = await setUp();
  sink.takes = () => false;
  const [call] = generations(a.novelai);
  await call!.head(200);
  // The memory holds one mebibyte, and there is no disk.
  for (let n = 0; n < 6; n += 1) await call!.data(Buffer.alloc(512 * 1024));
  await settle(6);
  assert.equal(call!.isPaused, true);
  sink.leave();
  await settle(6);
  assert.equal(call!.isPaused, false);
  await call!.end();
  await settle(6);
  assert.equal(outcomeOf(all, record), 'succeeded');
  assert.equal(all.deps.readAhead.memory.used, 0);
});

test('leaving, for longer than the drain limit ends the exchange, and the account rests (I1)', async () => {
  const { all, a, sink, record } = await setUp({ drainMs: 2000 });
  const [call] = generations(a.novelai);
  sink.leave();
  await all.clock.advance(1999);
  assert.equal(call!.isAborted, false);
  await all.clock.advance(1);
  assert.equal(call!.isAborted, true);
  await settle(6);
  assert.equal(outcomeOf(all, record), 'unknown');
  assert.equal(a.account.availability('image').state, 'cooling');
  assert.equal(all.queue.running, 0);
});

test('leaving, between a refusal and the next try: nothing more is sent', async () => {
  for (const status of [401, 429]) {
    const { all, a, sink, record } = await setUp();
    await generations(a.novelai)[0]!.answer({ status, body: '{}' });
    sink.leave();
    await settle(20);
    await all.clock.advance(5000);
    assert.equal(outcomeOf(all, record), 'cancelled_queued', `${status}`);
    assert.equal(generations(a.novelai).length, 0);
    assert.equal(all.queue.running, 0);
    assert.deepEqual(sink.violations, []);
  }
});

test('leaving, after NovelAI has ended but before the client had read all: succeeded, not delivered', async () => {
  const { all, a, sink, record } = await setUp();
  sink.takes = () => false;
  await generations(a.novelai)[0]!.answer({ ...PICTURE, body: [Buffer.from('a'), Buffer.from('b')] });
  await settle(6);
  assert.equal(all.queue.running, 0);
  sink.leave();
  await settle(6);
  assert.equal(outcomeOf(all, record), 'succeeded');
  assert.equal(record.value?.isDelivered, false);
  assert.equal(all.deps.readAhead.memory.used, 0);
});

test('leaving, of many clients one after another lets nothing pile up', async () => {
  const all = new DispatchUnderTest();
  const a = await all.add('a', RICH);
  await settle(20);
  const before = all.clock.timersLeft;
  for (let n = 0; n < 50; n += 1) {
    const request = all.request();
    const record = watch(serveGeneration(request, all.deps));
    await settle(4);
    request.sink.leave();
    await settle(1);
    await generations(a.novelai)[0]!.answer(PICTURE);
    await settle(4);
    assert.equal(record.settled, 1);
  }
  // The queue keeps one timer for a deadline that nobody waits for any more.
  assert.ok(all.clock.timersLeft <= before + 1, `${all.clock.timersLeft} timers`);
  assert.equal(all.queue.stats('image').queued + all.queue.running, 0);
});

/** What a generation may be met with in the storm. */
const WEATHER = [
  'picture', 'picture', 'picture', 'slowPicture', 'half', 'reset', 'refused', 'silence',
  '400', '401', '402', '403', '403page', '429', '500', '502page',
] as const; // oxfmt-ignore
type Weather = (typeof WEATHER)[number];

/** Answers that prove that nothing was charged: only after these may the same request be sent again (I2). */
const PROVEN_FREE = new Set<Weather>(['refused', '401', '402', '403', '403page', '429']);

function answerAs(weather: Weather, call: FakeCall, all: DispatchUnderTest): void {
  const json = { 'content-type': 'application/json' };
  const later = (action: () => unknown) => void all.clock.after(3000, () => void action());
  if (weather === 'picture') later(() => call.answer(PICTURE));
  else if (weather === 'slowPicture') later(() => call.head(200).then(() => later(() => call.end())));
  else if (weather === 'half') later(() => call.head(200).then(() => later(() => call.reset())));
  else if (weather === 'reset') later(() => call.reset());
  else if (weather === '403page') later(() => call.answer({ status: 403, headers: { 'content-type': 'text/html' } }));
  else if (weather === '502page') later(() => call.answer({ status: 502, headers: { 'content-type': 'text/html' } }));
  else if (weather !== 'silence') later(() => call.answer({ status: Number(weather), headers: json, body: '{}' }));
}

test('storm, any weather: never two at once on an account, nothing resent that may have cost, one end each, nothing held', async () => {
  const weather = fc.constantFrom(...WEATHER);
  const arrival = fc.record({
    gapMs: fc.nat(4000),
    isPaid: fc.boolean(),
    isText: fc.boolean(),
    isSlow: fc.boolean(),
    leavesAfterMs: fc.option(fc.nat(12_000), { freq: 2 }),
  });
  const outcomes = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(
      fc.array(arrival, { minLength: 1, maxLength: 25 }),
      fc.array(weather, { minLength: 1, maxLength: 30 }),
      async (arrivals, weathers) => {
        const all = new DispatchUnderTest({ drainMs: 5000, limits: { firstByteMs: 20_000, totalMs: 30_000 } });
        const accounts: AccountUnderTest[] = [await all.add('a', RICH), await all.add('b', RICH)];
        const fates = new Map<string, Weather[]>();
        let turn = 0;
        for (const added of accounts) {
          const balances = added.novelai.respond;
          added.novelai.respond = (call) => {
            if (call.path === '/user/subscription') return balances(call);
            const open = generations(added.novelai).filter(({ path }) => path === call.path);
            assert.equal(open.length, 0, 'never two at once on an account (I1)');
            const fate = weathers[(turn += 1) % weathers.length]!;
            const body = call.body!.toString();
            const earlier = fates.get(body) ?? [];
            assert.ok(
              earlier.every((past) => PROVEN_FREE.has(past)),
              `sent again after ${earlier.join()} (I2)`,
            );
            fates.set(body, [...earlier, fate]);
            if (fate === 'refused') return 'refused';
            answerAs(fate, call, all);
            return undefined;
          };
        }
        const served: { sink: FakeSink; record: Watched<RequestRecord> }[] = [];
        for (const { gapMs, isPaid, isText, isSlow, leavesAfterMs } of arrivals) {
          const request = all.request({
            work: isPaid ? PAID_WORK : FREE_WORK,
            ...(isText && { slot: 'text', path: '/ai/generate' }),
            deadlineMs: all.clock.monotonicMs() + 60_000,
          });
          request.sink.takes = () => !isSlow;
          if (leavesAfterMs !== null) all.clock.after(leavesAfterMs, () => request.sink.leave());
          served.push({ sink: request.sink, record: watch(serveGeneration(request, all.deps)) });
          await all.clock.advance(gapMs);
        }
        for (let n = 0; n < 400 && served.some(({ record }) => record.settled === 0); n += 1) {
          for (const { sink } of served) sink.drain();
          await all.clock.advance(1000);
        }
        for (const { sink, record } of served) {
          assert.equal(record.settled, 1, 'one end each (I9)');
          assert.equal(record.error, undefined);
          assert.deepEqual(sink.violations, []);
          const outcome = record.value!.outcome;
          outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
        }
        assert.equal(all.ended.length, served.length);
        assert.equal(all.queue.running, 0);
        await all.clock.advance(60_000);
        assert.ok(accounts.every(({ novelai }) => generations(novelai).length === 0));
        assert.equal(all.deps.readAhead.memory.used, 0);
        for (const { account } of accounts) account.close();
        assert.ok(all.clock.timersLeft <= 2, `${all.clock.timersLeft} timers are left`);
      },
    ),
    { numRuns: 40 },
  );
  for (const outcome of ['succeeded', 'cancelled_queued', 'failed_client', 'failed_upstream_free', 'unknown'])
    assert.ok(outcomes.has(outcome), `${outcome} happened: ${JSON.stringify([...outcomes])}`);
});
