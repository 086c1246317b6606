// Tests of the limits of one exchange over real sockets: each cuts what it is for, and nothing else.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProxyAgent } from 'undici';
import { agent, countingClock, OK, pause, start } from '../../support/exchange-under-test.ts';
import { startRawServer } from '../../support/raw-server.ts';
import { until } from '../../support/until.ts';

test('limits, connecting: a proxy that accepts and says nothing ends as unsent', async (context) => {
  const silent = await startRawServer(context, () => undefined);
  const dispatcher = new ProxyAgent(silent.url);
  context.after(() => dispatcher.destroy());
  const clock = countingClock();
  const seen = start(dispatcher, 'http://target.example', { limits: { connectMs: 60 }, clock });
  await seen.ended;
  assert.deepEqual(seen.failure, { kind: 'connect_timeout', wasSent: false, hasHead: false, code: 'connect_timeout' });
  assert.deepEqual(seen.steps, ['failure connect_timeout']);
  assert.equal(clock.timersLeft, 0);
});

test('limits, connecting: one that ended while it connected is not sent when the connection stands at last', async (context) => {
  let answerTunnel: () => void = () => undefined;
  const proxy = await startRawServer(context, (socket) => {
    answerTunnel = () => socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
  });
  const dispatcher = new ProxyAgent(proxy.url);
  context.after(() => dispatcher.destroy());
  const seen = start(dispatcher, 'http://target.example');
  while (proxy.received[0] === undefined || proxy.received[0] === '') await pause(2);
  seen.exchange.abort();
  await seen.ended;
  assert.equal(seen.failure?.kind, 'aborted');
  assert.equal(seen.failure.wasSent, false);
  answerTunnel();
  await pause(50);
  assert.ok(!proxy.received.some((text) => text.includes('POST ')), 'nothing was sent after the end');
  assert.deepEqual(seen.steps, ['failure aborted']);
});

test('limits, first byte: cut when it is late, as sent', async (context) => {
  const server = await startRawServer(context, () => undefined);
  const clock = countingClock();
  const seen = start(agent(context), server.url, { limits: { firstByteMs: 60 }, clock });
  await seen.ended;
  assert.deepEqual([seen.failure?.kind, seen.failure?.wasSent], ['first_byte_timeout', true]);
  // Its connection is not used again.
  await until(() => server.sockets[0]!.destroyed);
  assert.equal(clock.timersLeft, 0);
});

test('limits, first byte: a slow one within its limit is never cut, however short the idle and connect limits are', async (context) => {
  const server = await startRawServer(context, (socket) => void setTimeout(() => socket.write(OK), 600));
  const seen = start(agent(context), server.url, { limits: { connectMs: 400, firstByteMs: 4000, idleMs: 100 } });
  await seen.ended;
  assert.equal(seen.steps.at(-1), 'end');
});

test('limits, idle: silence in the middle of an answer is cut', async (context) => {
  const server = await startRawServer(context, (socket) => socket.write(OK.slice(0, -2)));
  const clock = countingClock();
  const seen = start(agent(context), server.url, { limits: { idleMs: 60 }, clock });
  await seen.ended;
  assert.deepEqual([seen.failure?.kind, seen.failure?.wasSent, seen.failure?.hasHead], ['idle_timeout', true, true]);
  assert.equal(clock.timersLeft, 0);
});

test('limits, idle: an answer that trickles on is never cut for silence', async (context) => {
  const server = await startRawServer(context, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n');
    for (let byte = 1; byte <= 12; byte += 1) setTimeout(() => socket.write('x'), 50 * byte);
  });
  const seen = start(agent(context), server.url, { limits: { idleMs: 450 } });
  await seen.ended;
  assert.equal(seen.body, 'x'.repeat(12));
  assert.equal(seen.steps.at(-1), 'end');
});

test('limits, idle: a pause asked for by this side is not silence, and the answer goes on after it', async (context) => {
  const server = await startRawServer(context, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n');
    setTimeout(() => socket.write('5\r\nworld\r\n0\r\n\r\n'), 20);
  });
  let isSlow = true;
  const seen = start(agent(context), server.url, { limits: { idleMs: 60 }, takesMore: () => !isSlow });
  await pause(250);
  assert.deepEqual(seen.steps, ['sent', 'head 200', 'data']);
  isSlow = false;
  seen.exchange.resume();
  await seen.ended;
  assert.equal(seen.body, 'helloworld');
  assert.equal(seen.steps.at(-1), 'end');
});

test('limits, idle: silence counts again after the pause', async (context) => {
  const server = await startRawServer(context, (socket) => socket.write(OK.slice(0, -2)));
  const seen = start(agent(context), server.url, { limits: { idleMs: 60 }, takesMore: () => false });
  await pause(150);
  seen.exchange.resume();
  await seen.ended;
  assert.equal(seen.failure?.kind, 'idle_timeout');
});

test('limits, total: cuts an answer that never stops and one that never starts', async (context) => {
  const chatty = await startRawServer(context, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
    const timer = setInterval(() => socket.write('1\r\nx\r\n'), 10);
    socket.on('close', () => clearInterval(timer));
  });
  const silent = await startRawServer(context, () => undefined);
  for (const { url } of [chatty, silent]) {
    const clock = countingClock();
    const seen = start(agent(context), url, { limits: { totalMs: 120 }, clock });
    await seen.ended;
    assert.equal(seen.failure?.kind, 'total_timeout');
    assert.equal(seen.failure.wasSent, true);
    assert.equal(clock.timersLeft, 0);
  }
});

test('limits, total: ends an exchange whose answer this side has paused', async (context) => {
  const server = await startRawServer(context, (socket) => socket.write(OK.slice(0, -2)));
  const seen = start(agent(context), server.url, { limits: { totalMs: 120 }, takesMore: () => false });
  await seen.ended;
  assert.equal(seen.failure?.kind, 'total_timeout');
});
