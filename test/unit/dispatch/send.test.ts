// Tests of one send: which host, how often, what is passed on and what is kept back, and what it proves.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IncomingHttpHeaders } from 'node:http';
import { send, type SendResult } from '../../../src/dispatch/send.ts';
import type { Exchange } from '../../../src/upstream/exchange.ts';
import type { AccountUnderTest } from '../../support/accounts-under-test.ts';
import { settle } from '../../support/fake-clock.ts';
import { DispatchUnderTest, watch } from '../../support/dispatch-under-test.ts';
import type { FakeAnswer } from '../../support/fake-novelai.ts';

const BODY = Buffer.from('{"made":"up"}');

const [A, B, C, D] = ['http://a.test', 'http://b.test', 'http://c.test', 'http://d.test'] as const;

interface Passed {
  heads: [number, IncomingHttpHeaders][];
  body: string;
  sent: number;
  exchanges: Exchange[];
  /** How often it was told that the answer is whole. */
  ends: number;
}

async function setUp({ hostUrls = [A] as readonly string[], isProxied = false } = {}) {
  const all = new DispatchUnderTest({ hostUrls });
  const added = await all.add('a');
  const { account } = added;
  const route = { ...account.route, isProxied };
  const passed: Passed = { heads: [], body: '', sent: 0, exchanges: [], ends: 0 };
  const request = all.request();
  const start = () =>
    watch<SendResult>(
      send(
        request,
        {
          account: Object.create(account, { route: { value: route } }) as typeof account,
          token: 'made-up-token',
          body: BODY,
          onSent: () => (passed.sent += 1),
          onExchange: (exchange) => passed.exchanges.push(exchange),
          receiver: {
            onHead: (status, headers) => passed.heads.push([status, headers]),
            onData(chunk) {
              passed.body += chunk.toString();
              return true;
            },
            onEnd: () => (passed.ends += 1),
          },
        },
        all.deps,
      ),
    );
  return { all, added, passed, request, start };
}

/** Answers generations by host; balances as before. */
function byHost(added: AccountUnderTest, answers: Record<string, FakeAnswer | 'refused' | 'reset'>): string[] {
  const tried: string[] = [];
  const balances = added.novelai.respond;
  added.novelai.respond = (call) => {
    if (call.path === '/user/subscription') return balances(call);
    const host = new URL(call.url).origin;
    tried.push(host);
    const answer = answers[host];
    if (answer === 'reset') {
      queueMicrotask(() => void call.reset());
      return undefined;
    }
    return answer;
  };
  return tried;
}

async function sendAll(
  hostUrls: readonly string[],
  answers: Record<string, FakeAnswer | 'refused' | 'reset'>,
  isProxied = false,
) {
  const setting = await setUp({ hostUrls, isProxied });
  const tried = byHost(setting.added, answers);
  const watched = setting.start();
  await settle(40);
  assert.equal(watched.settled, 1);
  return { ...setting, tried, result: watched.value! };
}

test('send, carries the body, the headers and the token of the account, and passes a good answer on as it comes', async () => {
  const { added, passed, start, all } = await setUp();
  const watched = start();
  await settle();
  const [call] = added.novelai.waiting;
  assert.equal(call!.url, `${A}/ai/generate-image`);
  assert.deepEqual(call!.headers, { 'content-type': 'application/json', authorization: 'Bearer made-up-token' });
  assert.equal(call!.body, BODY);
  await all.clock.advance(1000);
  await call!.head(200, { 'content-type': 'binary/octet-stream' });
  await call!.data('one');
  assert.equal(passed.body, 'one');
  await all.clock.advance(500);
  await call!.data('two');
  assert.equal(passed.ends, 0);
  await call!.end();
  assert.equal(passed.ends, 1);
  const { value } = watched;
  assert.deepEqual(value?.ruling, { account: 'success', action: 'pass' });
  assert.equal(value.endedMs - value.sentMs!, 1500);
  assert.equal(passed.body, 'onetwo');
  assert.equal(passed.sent, 1);
});

test('send, an answer that leads to another try is kept back whole and not passed on', async () => {
  for (const status of [401, 402, 403, 409, 429]) {
    const body = `{"statusCode":${status},"message":"made up"}`;
    const { passed, result } = await sendAll([A], { [A]: { status, body } });
    assert.deepEqual(passed.heads, []);
    assert.deepEqual([passed.body, passed.ends], ['', 0]);
    assert.equal(result.held?.body.toString(), body, `${status}`);
    assert.equal(result.held?.status, status);
    assert.equal(result.failure, undefined);
  }
});

test("send, an error that is the request's own or NovelAI's passes as it is", async () => {
  for (const status of [400, 404, 413, 422, 500, 502]) {
    const { passed, result } = await sendAll([A], { [A]: { status, body: 'as it is' } });
    assert.equal(passed.heads[0]?.[0], status);
    assert.equal(passed.body, 'as it is');
    assert.equal(result.held, undefined);
  }
});

test('send, of a refusal larger than any only the beginning is kept', async () => {
  const pieces = Array.from({ length: 10 }, () => Buffer.alloc(16 * 1024, 'x'));
  const { result } = await sendAll([A], { [A]: { status: 429, body: pieces } });
  assert.equal(result.held?.body.length, 64 * 1024);
});

test('send, a refusal whose body breaks off is a refusal all the same', async () => {
  const { added, start } = await setUp();
  const watched = start();
  await settle();
  await added.novelai.waiting[0]!.head(429);
  await added.novelai.waiting[0]!.data('half');
  await added.novelai.waiting[0]!.reset();
  assert.deepEqual(watched.value?.ruling, { account: 'locked', action: 'wait_again' });
  assert.equal(watched.value.held?.body.toString(), 'half');
});

test('send, without a connection goes to the next host, two more at most, and never twice to one', async () => {
  const none = { [A]: 'refused', [B]: 'refused', [C]: 'refused', [D]: 'refused' } as const;
  const { tried, result, passed } = await sendAll([A, B, C, D], none);
  assert.equal(tried.length, 3);
  assert.equal(new Set(tried).size, 3);
  assert.deepEqual(result.ruling, { account: 'unreached', action: 'other_host' });
  assert.equal(result.sentMs, undefined);
  assert.equal(passed.sent, 0);
});

test('send, is carried out by the second host when the first cannot be reached', async () => {
  const { tried, result, passed } = await sendAll([A, B], { [A]: 'refused', [B]: { status: 200, body: 'ok' } });
  assert.deepEqual(tried, [A, B]);
  assert.equal(result.baseUrl, B);
  assert.equal(passed.body, 'ok');
  assert.equal(passed.sent, 1);
});

test('send, what has reached a host is never sent to another one (I2)', async () => {
  for (const answer of ['reset', { status: 502 }, { status: 500 }] as const) {
    const { tried, passed } = await sendAll([A, B], { [A]: answer, [B]: { status: 200 } });
    assert.deepEqual(tried, [A]);
    assert.equal(passed.sent, 1);
  }
});

test('send, a timeout is never followed by another send (I2)', async () => {
  const { added, start, all, passed } = await setUp({ hostUrls: [A, B] });
  const watched = start();
  await settle();
  await all.clock.advance(180_001);
  assert.match(watched.value?.failure?.kind ?? '', /_timeout$/);
  assert.equal(passed.sent, 1);
  assert.equal(added.novelai.calls.filter(({ path }) => path === '/ai/generate-image').length, 1);
});

test('send, no further host is tried for a client that has left', async () => {
  const setting = await setUp({ hostUrls: [A, B] });
  const tried = byHost(setting.added, { [A]: 'refused', [B]: 'refused' });
  setting.request.sink.leave();
  setting.start();
  await settle(20);
  assert.deepEqual(tried, [A]);
});

test('send, an end from this side passes nothing more on and counts against nobody', async () => {
  const { added, start, all, passed } = await setUp();
  const { image } = all.deps.hosts;
  for (let n = 0; n < 4; n += 1) image.release(image.take(), 'failure');
  const watched = start();
  await settle();
  await added.novelai.waiting[0]!.head(200);
  passed.exchanges[0]!.abort();
  await settle();
  assert.deepEqual(watched.value?.ruling, { account: 'untouched', action: 'fail' });
  assert.equal(image.report()[0]?.failures, 4, 'nor for it');
});

test("send, hosts are given back and judged: failures count, refusals and clients' faults do not", async () => {
  const verdicts: [FakeAnswer | 'refused' | 'reset', number, boolean][] = [
    [{ status: 200 }, 0, true],
    [{ status: 400 }, 0, true],
    [{ status: 429 }, 0, true],
    [{ status: 401 }, 0, true],
    [{ status: 502 }, 1, true],
    ['reset', 1, true],
    ['refused', 0, false],
  ];
  for (const [answer, failures, isInUse] of verdicts) {
    const { all } = await sendAll([A, B], { [A]: answer, [B]: { status: 200 } });
    assert.deepEqual(all.deps.hosts.image.report()[0], { baseUrl: A, failures, isInUse });
    const taken = Array.from({ length: 8 }, () => all.deps.hosts.image.take().baseUrl);
    assert.equal(taken.filter((url) => url === A).length, isInUse ? 4 : 0, 'nothing is counted as out');
  }
});

test("send, a proxy that leads nowhere is the account's trouble and not the hosts'", async () => {
  const none = { [A]: 'refused', [B]: 'refused', [C]: 'refused' } as const;
  const { all, result } = await sendAll([A, B, C], none, true);
  assert.deepEqual(result.ruling, { account: 'unreached', action: 'other_account' });
  assert.ok(all.deps.hosts.image.report().every(({ isInUse }) => isInUse));
});
