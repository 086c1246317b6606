// Tests of the whole way of a request: what each answer leads to, what the client gets, and that every end is one end.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GenerationRequest } from '../../../src/dispatch/generation-request.ts';
import { serveGeneration } from '../../../src/dispatch/serve-generation.ts';
import { settle } from '../../support/fake-clock.ts';
import { BodyLost } from '../../../src/upstream/exchange-failure.ts';
import { DispatchUnderTest, PAID_WORK, watch } from '../../support/dispatch-under-test.ts';
import { subscriptionAnswer, type FakeCall, type FakeNovelai } from '../../support/fake-novelai.ts';

const OPUS = subscriptionAnswer({ tier: 3 });
const RICH = subscriptionAnswer({ tier: 3, fixedAnlas: 1000 });
const PICTURE = { status: 200, headers: { 'content-type': 'binary/octet-stream' }, body: 'picture' };

async function serve(all: DispatchUnderTest, changes: Partial<GenerationRequest> = {}) {
  const request = all.request(changes);
  const record = watch(serveGeneration(request, all.deps));
  await settle(6);
  return { request, record, sink: request.sink };
}

function generations(novelai: FakeNovelai): FakeCall[] {
  return novelai.waiting.filter(({ path }) => path.startsWith('/ai/'));
}

function sent(novelai: FakeNovelai): number {
  return novelai.calls.filter(({ path }) => path.startsWith('/ai/')).length;
}

/** That the request has come to exactly one end and holds nothing. */
function assertOneEnd(
  all: DispatchUnderTest,
  { request, sink, record }: Awaited<ReturnType<typeof serve>>,
  outcome: string,
) {
  assert.equal(record.settled, 1);
  assert.equal(record.error, undefined);
  assert.equal(record.value?.outcome, outcome);
  assert.deepEqual(
    all.ended.filter(({ requestId }) => requestId === request.id).map((line) => line.outcome),
    [outcome],
  );
  assert.equal(all.queue.running, 0);
  assert.deepEqual(sink.violations, []);
}

test('way, a picture reaches the client with its head and the headers of the service', async () => {
  const all = new DispatchUnderTest();
  const { novelai } = await all.add('a', OPUS);
  const served = await serve(all);
  await generations(novelai)[0]!.answer(PICTURE);
  await settle(6);
  assertOneEnd(all, served, 'succeeded');
  assert.equal(served.sink.body.toString(), 'picture');
  assert.equal(served.sink.headers['content-type'], 'binary/octet-stream');
  assert.equal(served.sink.headers['x-request-id'], served.request.id);
  assert.equal(served.sink.headers['x-account'], 'a');
  assert.equal(served.record.value?.isDelivered, true);
});

test('way, the account is free again when NovelAI has ended, however slow the client reads', async () => {
  const all = new DispatchUnderTest();
  const { novelai } = await all.add('a', OPUS);
  const slow = await serve(all);
  slow.sink.takes = () => false;
  const next = await serve(all);
  await generations(novelai)[0]!.answer({ ...PICTURE, body: [Buffer.from('one'), Buffer.from('two')] });
  await settle(6);
  assert.equal(slow.record.settled, 0);
  assert.equal(generations(novelai).length, 1, 'the next one is at NovelAI');
  slow.sink.takes = () => true;
  slow.sink.drain();
  await settle(6);
  assert.equal(slow.sink.body.toString(), 'onetwo');
  await generations(novelai)[0]!.answer(PICTURE);
  await settle(6);
  assertOneEnd(all, slow, 'succeeded');
  assertOneEnd(all, next, 'succeeded');
});

test('way, back-pressure reaches NovelAI when nothing more can be stored, and is lifted as the client reads', async () => {
  const all = new DispatchUnderTest();
  const { novelai } = await all.add('a', OPUS);
  const { sink, record } = await serve(all);
  sink.takes = () => false;
  const [call] = generations(novelai);
  await call!.head(200);
  // The memory holds one mebibyte, and there is no disk.
  for (let n = 0; n < 6; n += 1) await call!.data(Buffer.alloc(512 * 1024, n));
  await settle(6);
  assert.equal(call!.isPaused, true);
  sink.takes = () => true;
  sink.drain();
  await settle(12);
  assert.equal(call!.isPaused, false);
  await call!.end();
  await settle(6);
  assert.equal(record.value?.outcome, 'succeeded');
  assert.equal(sink.body.length, 3 * 1024 * 1024);
});

test('way, an ejected account comes back by one probe', async () => {
  const all = new DispatchUnderTest();
  const a = await all.add('a', OPUS, { config: { concurrency: 2 } });
  const b = await all.add('b', OPUS);
  for (let n = 0; n < 5; n += 1) a.account.apply('suspect', { kind: 'image', work: PAID_WORK });
  b.account.drain('made up');
  const waiting = [await serve(all), await serve(all), await serve(all)];
  assert.equal(generations(a.novelai).length, 0);
  await all.clock.advance(30_001);
  await settle(6);
  assert.equal(generations(a.novelai).length, 1, 'one probe');
  const text = await serve(all, { slot: 'text' });
  assert.equal(generations(a.novelai).length, 1, 'of whatever kind');
  await generations(a.novelai)[0]!.answer(PICTURE);
  await settle(6);
  assert.equal(generations(a.novelai).length, 3, 'all that waits, after it');
  for (const call of generations(a.novelai)) await call.answer(PICTURE);
  await settle(6);
  for (const { record } of [...waiting, text]) assert.equal(record.value?.outcome, 'succeeded');
});

test('401, is checked and sent once more with the same account, and the client knows nothing of it', async () => {
  const all = new DispatchUnderTest();
  const { novelai } = await all.add('a', OPUS);
  const served = await serve(all);
  await generations(novelai)[0]!.answer({ status: 401, body: '{}' });
  await settle(12);
  await generations(novelai)[0]!.answer(PICTURE);
  await settle(6);
  assertOneEnd(all, served, 'succeeded');
  assert.equal(sent(novelai), 2);
});

test('401, for good goes to another account', async () => {
  const all = new DispatchUnderTest();
  const a = await all.add('a', OPUS);
  const b = await all.add('b', OPUS);
  const served = await serve(all);
  const first = generations(a.novelai).length > 0 ? a : b;
  const second = first === a ? b : a;
  first.subscription = { status: 401 };
  await generations(first.novelai)[0]!.answer({ status: 401, body: '{}' });
  await settle(20);
  assert.equal(first.account.availability('image').state, 'disabled');
  await generations(second.novelai)[0]!.answer(PICTURE);
  await settle(6);
  assertOneEnd(all, served, 'succeeded');
});

test("401, on the only account becomes 503: the token is not the client's", async () => {
  const all = new DispatchUnderTest();
  const a = await all.add('a', OPUS);
  const served = await serve(all);
  a.subscription = { status: 401 };
  await generations(a.novelai)[0]!.answer({ status: 401, body: '{}' });
  await settle(20);
  assert.equal(served.sink.refusal?.code, 'upstream_no_account');
  assertOneEnd(all, served, 'failed_upstream_free');
});

test('403 with JSON, for a token that is good was meant for the request', async () => {
  const all = new DispatchUnderTest();
  const a = await all.add('a', OPUS);
  const served = await serve(all);
  const forbidden = {
    status: 403,
    headers: { 'content-type': 'application/json' },
    body: '{"message":"not for your tier"}',
  };
  for (let n = 0; n < 2; n += 1) {
    await generations(a.novelai)[0]!.answer(forbidden);
    await settle(12);
  }
  assert.equal(served.sink.status, 403);
  assert.equal(served.sink.body.toString(), forbidden.body);
  assertOneEnd(all, served, 'failed_client');
  assert.equal(a.account.availability('image').state, 'ready');
});

test('403 with a page and 402, go to another account', async () => {
  for (const answer of [{ status: 403, headers: { 'content-type': 'text/html' } }, { status: 402 }]) {
    const all = new DispatchUnderTest();
    const a = await all.add('a', RICH);
    const b = await all.add('b', RICH);
    const served = await serve(all, { work: PAID_WORK });
    const [first, second] = generations(a.novelai).length > 0 ? [a, b] : [b, a];
    await generations(first.novelai)[0]!.answer(answer);
    await settle(6);
    await generations(second.novelai)[0]!.answer(PICTURE);
    await settle(6);
    assertOneEnd(all, served, 'succeeded');
    assert.equal(served.sink.headers['x-account'], second.account.name);
  }
});

test('402, when nobody else can pay reaches the client as NovelAI said it', async () => {
  const all = new DispatchUnderTest();
  const a = await all.add('a', RICH);
  const served = await serve(all, { work: PAID_WORK });
  const body = '{"statusCode":402,"message":"Not enough Anlas"}';
  await generations(a.novelai)[0]!.answer({ status: 402, headers: { 'content-type': 'application/json' }, body });
  await settle(6);
  assert.equal(served.sink.status, 402);
  assert.equal(served.sink.body.toString(), body);
  assert.equal(served.sink.headers['content-length'], String(body.length));
  assertOneEnd(all, served, 'failed_upstream_free');
});

test('429, waits for the account in its old place, ahead of those that came later', async () => {
  const all = new DispatchUnderTest();
  const { novelai } = await all.add('a', OPUS);
  const first = await serve(all);
  const later = await serve(all);
  await generations(novelai)[0]!.answer({ status: 429, headers: { 'retry-after': '3' }, body: '{}' });
  await settle(6);
  assert.equal(generations(novelai).length, 0);
  await all.clock.advance(3001);
  await settle(6);
  assert.equal(generations(novelai)[0]!.body, first.request.body!.forSending());
  await generations(novelai)[0]!.answer(PICTURE);
  await settle(6);
  await generations(novelai)[0]!.answer(PICTURE);
  await settle(6);
  assertOneEnd(all, first, 'succeeded');
  assertOneEnd(all, later, 'succeeded');
  assert.equal(all.ended.find(({ requestId }) => requestId === first.request.id)?.sends, 2);
});

test('429, Retry-After is a floor, up to an hour; what is no number of seconds is ignored', async () => {
  for (const [header, seconds] of [
    ['7', 7],
    ['0', 1],
    ['99999999999', 3600],
    ['soon', 1],
    ['-5', 1],
    ['Infinity', 1],
  ] as const) {
    const all = new DispatchUnderTest();
    const { novelai, account } = await all.add('a', OPUS);
    await serve(all);
    await generations(novelai)[0]!.answer({ status: 429, headers: { 'retry-after': header }, body: '{}' });
    assert.equal(account.availability('image').untilMs, all.clock.monotonicMs() + seconds * 1000, header);
  }
});

test('429, however often is no change of account', async () => {
  const all = new DispatchUnderTest();
  const { novelai } = await all.add('a', OPUS);
  const served = await serve(all);
  for (let n = 0; n < 8; n += 1) {
    await generations(novelai)[0]!.answer({ status: 429, body: '{}' });
    await all.clock.advance(30_001);
    await settle(6);
  }
  await generations(novelai)[0]!.answer(PICTURE);
  await settle(6);
  assertOneEnd(all, served, 'succeeded');
});

test('429, lasting longer than the deadline ends as expired, and nothing is held', async () => {
  const all = new DispatchUnderTest();
  const { novelai } = await all.add('a', OPUS);
  const served = await serve(all, { deadlineMs: all.clock.monotonicMs() + 20_000 });
  await generations(novelai)[0]!.answer({ status: 429, headers: { 'retry-after': '60' }, body: '{}' });
  await all.clock.advance(20_001);
  await settle(6);
  assert.equal(served.sink.refusal?.code, 'proxy_queue_timeout');
  assertOneEnd(all, served, 'expired_queued');
});

test('5xx, passes as it is, is not sent again, and may have cost something (I2)', async () => {
  for (const [isPaid, outcome] of [
    [true, 'unknown'],
    [false, 'failed_upstream_free'],
  ] as const) {
    const all = new DispatchUnderTest();
    const a = await all.add('a', RICH);
    const b = await all.add('b', RICH);
    const served = await serve(all, isPaid ? { work: PAID_WORK } : {});
    const [call] = [...generations(a.novelai), ...generations(b.novelai)];
    await call!.answer({ status: 502, headers: { 'content-type': 'text/html' }, body: '<html>' });
    await settle(6);
    assert.equal(served.sink.status, 502);
    assert.equal(served.sink.body.toString(), '<html>');
    assertOneEnd(all, served, outcome);
    assert.equal(sent(a.novelai) + sent(b.novelai), 1);
  }
});

test('a break before the answer is 502 and not sent again; one in its middle cuts the client (I2)', async () => {
  for (const hasHead of [false, true]) {
    const all = new DispatchUnderTest();
    const a = await all.add('a', RICH);
    const served = await serve(all, { work: PAID_WORK });
    const [call] = generations(a.novelai);
    if (hasHead) await call!.head(200);
    if (hasHead) await call!.data('half');
    await call!.reset();
    await settle(6);
    assert.equal(served.sink.refusal?.code, hasHead ? undefined : 'upstream_broken');
    assert.equal(served.sink.wasCut, hasHead);
    assertOneEnd(all, served, 'unknown');
    assert.equal(sent(a.novelai), 1);
    assert.equal(a.account.availability('image').state, 'cooling', 'NovelAI may still be generating (I1)');
  }
});

test('a body that cannot be read to its end is a fault of this service: nothing was asked for, and the account is free', async () => {
  const all = new DispatchUnderTest();
  const a = await all.add('a', RICH);
  const served = await serve(all, { work: PAID_WORK });
  await generations(a.novelai)[0]!.reset(new BodyLost(new Error('made up: the disk fails')));
  await settle(6);
  assert.equal(served.sink.refusal?.code, 'proxy_internal');
  assertOneEnd(all, served, 'failed_gateway');
  assert.equal(sent(a.novelai), 1);
  assert.equal(a.account.availability('image').state, 'ready');
});

test('a timeout is 504 and not sent again (I2)', async () => {
  const all = new DispatchUnderTest();
  const a = await all.add('a', RICH);
  const served = await serve(all, { work: PAID_WORK });
  await all.clock.advance(180_001);
  await settle(6);
  assert.equal(served.sink.refusal?.code, 'upstream_timeout');
  assertOneEnd(all, served, 'unknown');
  assert.equal(sent(a.novelai), 1);
});

test('no connection is 502, free, and worth a retry', async () => {
  const all = new DispatchUnderTest();
  const a = await all.add('a', RICH);
  a.novelai.respond = () => 'refused';
  const served = await serve(all, { work: PAID_WORK });
  await settle(6);
  assert.equal(served.sink.refusal?.code, 'upstream_unreachable');
  assert.equal(served.sink.refusal.isRetryable, true);
  assertOneEnd(all, served, 'failed_upstream_free');
  assert.equal(a.account.availability('image').state, 'ready');
});

test('accounts, one that all turn away is answered after a few changes instead of going round for ever', async () => {
  const all = new DispatchUnderTest();
  const accounts = [];
  for (let n = 0; n < 8; n += 1) accounts.push(await all.add(`a${n}`, OPUS));
  const served = await serve(all);
  const page = { status: 403, headers: { 'content-type': 'text/html' }, body: '<html>blocked' };
  for (let n = 0; n < 8 && served.record.settled === 0; n += 1) {
    await accounts.flatMap(({ novelai }) => generations(novelai))[0]?.answer(page);
    await settle(6);
  }
  assert.equal(served.sink.status, 403);
  assert.equal(
    accounts.reduce((sum, { novelai }) => sum + sent(novelai), 0),
    5,
  );
  assertOneEnd(all, served, 'failed_upstream_free');
});

test('fault of its own, becomes 500 where nothing was sent, and the account is free again', async () => {
  const all = new DispatchUnderTest();
  await all.add('a', OPUS);
  all.deps.holdingTimes.estimateMs = () => {
    throw new Error('made up');
  };
  const served = await serve(all);
  assert.equal(served.sink.refusal?.code, 'proxy_internal');
  assertOneEnd(all, served, 'failed_gateway');
  assert.ok(all.lines.some(({ msg }) => msg === 'a request failed inside the service'));
});

test('fault of its own, while the answer passes frees the account and ends the request', async () => {
  const all = new DispatchUnderTest();
  const a = await all.add('a', OPUS);
  const served = await serve(all);
  all.deps.holdingTimes.learn = () => {
    throw new Error('made up');
  };
  await generations(a.novelai)[0]!.answer(PICTURE);
  await settle(6);
  assert.equal(served.record.settled, 1);
  assert.equal(all.queue.running, 0);
  assert.equal(all.ended.length, 1);
});

test('admission, what no account could ever or now serve is refused at once, with its reason', async () => {
  const all = new DispatchUnderTest();
  const a = await all.add('a', OPUS);
  const impossible = await serve(all, { work: { ...PAID_WORK, refusal: 'NovelAI makes no such picture.' } });
  assert.equal(impossible.sink.refusal?.code, 'policy_impossible');
  assertOneEnd(all, impossible, 'impossible');
  const poor = await serve(all, { work: PAID_WORK });
  assert.equal(poor.sink.refusal?.status, 402);
  assertOneEnd(all, poor, 'impossible');
  a.account.disable('made up: switched off');
  const gone = await serve(all);
  assert.equal(gone.sink.refusal?.status, 503);
  assert.match(gone.sink.refusal.message, /switched off/);
  assert.ok(gone.sink.refusal.retryAfterMs! > 0);
  assertOneEnd(all, gone, 'refused_capacity');
  assert.equal(sent(a.novelai), 0);
});

test("admission, a 402 of the service's own has the balance read again, so that bought Anlas are found", async () => {
  const all = new DispatchUnderTest();
  const a = await all.add('a', OPUS);
  await all.clock.advance(11_000);
  a.subscription = RICH;
  await serve(all, { work: PAID_WORK });
  await settle(12);
  const served = await serve(all, { work: PAID_WORK });
  assert.equal(served.record.settled, 0);
  assert.equal(generations(a.novelai).length, 1);
});
