// Tests of the account's own calls: what is sent, how answers are read, and how they fail over.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { Agent } from 'undici';
import { systemClock } from '../../../src/lib/clock.ts';
import { fetchSubscription, logIn, USER_AGENT, type AccountRoute } from '../../../src/upstream/account-api.ts';
import { collect } from '../../../src/upstream/collect.ts';
import { UpstreamHosts } from '../../../src/upstream/upstream-hosts.ts';
import { closedPort, startRawServer, type RawServer } from '../../support/raw-server.ts';

const SUBSCRIPTION = JSON.stringify({
  tier: 3,
  active: true,
  expiresAt: 1_793_000_000,
  trainingStepsLeft: { fixedTrainingStepsLeft: 9646, purchasedTrainingSteps: 4 },
  usage: { percent: 100, isNegative: false, timeUntilNextPercent: 7888 },
});

function route(context: TestContext, ...urls: string[]): AccountRoute {
  const dispatcher = new Agent({ pipelining: 1 });
  context.after(() => dispatcher.destroy());
  return { hosts: new UpstreamHosts(urls, systemClock), dispatcher, clock: systemClock };
}

function answering(context: TestContext, status: number, body: string, type = 'application/json'): Promise<RawServer> {
  return startRawServer(context, (socket) =>
    socket.write(
      `HTTP/1.1 ${status} X\r\nContent-Type: ${type}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    ),
  );
}

test('login, sends the key alone and says what it is, and gives the token', async (context) => {
  const server = await answering(context, 201, '{"accessToken":"made-up"}');
  assert.deepEqual(await logIn(route(context, server.url), 'k'.repeat(64)), { kind: 'ok', token: 'made-up' });
  const [wire] = server.received;
  assert.match(wire!, /^POST \/user\/login HTTP/);
  assert.ok(wire!.includes(`user-agent: ${USER_AGENT}\r\n`));
  assert.ok(wire!.endsWith(`{"key":"${'k'.repeat(64)}"}`));
  assert.ok(!/authorization/i.test(wire!));
});

test('login, only 401 means wrong credentials; all else is a failure to try again', async (context) => {
  const answers: [number, string, string, RegExp][] = [
    [401, '{"statusCode":401,"message":"Unauthorized"}', 'refused', /refused the e-mail address or password/],
    [400, '{"statusCode":400,"message":"Bad key"}', 'failed', /400: Bad key/],
    [403, '<html>blocked</html>', 'failed', /403 and a web page/],
    [429, '{"statusCode":429,"message":"Slow down"}', 'failed', /429: Slow down/],
    [500, 'oops', 'failed', /500/],
    [201, '{"accessToken":""}', 'failed', /201/],
    [201, '{"accessToken":7}', 'failed', /201/],
    [200, 'not json', 'failed', /200/],
    [201, 'null', 'failed', /201/],
  ];
  for (const [status, body, kind, why] of answers) {
    const server = await answering(context, status, body, body.startsWith('<') ? 'text/html' : 'application/json');
    const result = await logIn(route(context, server.url), 'key');
    assert.equal(result.kind, kind, `${status} ${body}`);
    if (result.kind !== 'ok') assert.match(result.why, why);
  }
});

test('login, an unreachable host is a failure with its code and no secret', async (context) => {
  const result = await logIn(route(context, `http://127.0.0.1:${await closedPort()}`), 'made-up-key');
  assert.equal(result.kind, 'failed');
  assert.match(result.why, /ECONNREFUSED/);
  assert.ok(!result.why.includes('made-up-key'));
});

test('subscription, sends the token and gives tier, Anlas and allowance', async (context) => {
  const server = await answering(context, 200, SUBSCRIPTION);
  const result = await fetchSubscription(route(context, server.url), 'made-up-token');
  assert.ok(result.kind === 'ok');
  assert.deepEqual(
    [result.subscription.tier, result.subscription.fixedAnlas, result.subscription.purchasedAnlas],
    [3, 9646, 4],
  );
  assert.match(server.received[0]!, /^GET \/user\/subscription HTTP[\s\S]*authorization: Bearer made-up-token\r\n/);
});

test('subscription, 401 is a refused token, all else a failure', async (context) => {
  const answers: [number, string, string][] = [
    [401, '{"message":"Unauthorized"}', 'refused'],
    [400, '{"message":"Please refresh NovelAI.net."}', 'failed'],
    [403, '{"message":"Forbidden"}', 'failed'],
    [500, '', 'failed'],
    [200, '{}', 'failed'],
    [201, SUBSCRIPTION, 'failed'],
  ];
  for (const [status, body, kind] of answers) {
    const server = await answering(context, status, body);
    assert.equal((await fetchSubscription(route(context, server.url), 't')).kind, kind, `${status}`);
  }
});

test('account calls, fail over to the next host after no connection, a reset or a 5xx', async (context) => {
  const good = await answering(context, 200, SUBSCRIPTION);
  const resetting = await startRawServer(context, (socket) => socket.resetAndDestroy());
  const failing = await answering(context, 502, '<html>', 'text/html');
  for (const bad of [`http://127.0.0.1:${await closedPort()}`, resetting.url, failing.url]) {
    const result = await fetchSubscription(route(context, bad, good.url), 't');
    assert.equal(result.kind, 'ok', bad);
  }
});

test('account calls, an answer below 500 is believed and not asked for again elsewhere', async (context) => {
  const refusing = await answering(context, 401, '{}');
  const other = await answering(context, 200, SUBSCRIPTION);
  assert.equal((await fetchSubscription(route(context, refusing.url, other.url), 't')).kind, 'refused');
  assert.equal(other.sockets.length, 0);
});

test('account calls, try three hosts at most and give every one of them back', async (context) => {
  const servers = await Promise.all(Array.from({ length: 5 }, () => answering(context, 503, '')));
  const accountRoute = route(context, ...servers.map(({ url }) => url));
  assert.equal((await fetchSubscription(accountRoute, 't')).kind, 'failed');
  assert.equal(servers.filter(({ received }) => received.length > 0).length, 3);
  const taken = Array.from({ length: 5 }, () => accountRoute.hosts.take().baseUrl);
  assert.equal(new Set(taken).size, 5, 'nothing is counted as out any more');
});

test('collect, an answer larger than any of NovelAI is cut off and counts as broken', async (context) => {
  const server = await startRawServer(context, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
    const piece = `10000\r\n${'x'.repeat(0x10000)}\r\n`;
    const timer = setInterval(() => socket.write(piece), 1);
    socket.on('close', () => clearInterval(timer));
  });
  const { dispatcher } = route(context, server.url);
  const answer = await collect(
    {
      dispatcher,
      baseUrl: server.url,
      path: '/',
      method: 'GET',
      headers: {},
      body: null,
      limits: { firstByteMs: 5000, idleMs: 5000, totalMs: 5000 },
    },
    systemClock,
  );
  assert.ok(!answer.isAnswer);
  assert.equal(answer.failure.kind, 'aborted');
});
