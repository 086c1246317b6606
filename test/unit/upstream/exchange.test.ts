// Tests of one exchange over real sockets: what is reported, in which order, and whether it was sent.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { agent, countingClock, OK, pause, type Seen, start } from '../../support/exchange-under-test.ts';
import { closedPort, startRawServer } from '../../support/raw-server.ts';
import { until } from '../../support/until.ts';

test('exchange, sends method, path, headers and body to the byte, and reports every step in order', async (context) => {
  const server = await startRawServer(context, (socket) => socket.write(OK));
  const clock = countingClock();
  const seen = start(agent(context), server.url, { clock });
  assert.equal(seen.exchange.wasSent, false);
  await seen.ended;
  assert.deepEqual(seen.steps, ['sent', 'head 200', 'data', 'end']);
  assert.equal(seen.exchange.wasSent, true);
  assert.equal(seen.body, 'hello');
  const [wire] = server.received;
  assert.match(wire!, /^POST \/ai\/generate-image\?x=1 HTTP\/1\.1\r\n/);
  assert.match(wire!, /\r\nx-a: b\r\n/);
  assert.match(wire!, /\r\ncontent-length: 4\r\n\r\nbody$/i);
  assert.equal(clock.timersLeft, 0);
});

test('exchange, a connection is used again for the next one', async (context) => {
  const server = await startRawServer(context, (socket) => socket.write(OK));
  const dispatcher = agent(context);
  for (let round = 0; round < 3; round += 1) {
    await start(dispatcher, server.url).ended;
    // Undici gives a connection back one turn of the event loop after the answer.
    await pause(5);
  }
  assert.equal(server.sockets.length, 1);
});

test('exchange, an informational head is not taken for the answer', async (context) => {
  const server = await startRawServer(context, (socket) =>
    socket.write(`HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n${OK}`),
  );
  const seen = start(agent(context), server.url);
  await seen.ended;
  assert.deepEqual(seen.steps, ['sent', 'head 200', 'data', 'end']);
});

test('proof, a refused connection was not sent (I2)', async (context) => {
  const clock = countingClock();
  const seen = start(agent(context), `http://127.0.0.1:${await closedPort()}`, { clock });
  await seen.ended;
  assert.deepEqual(seen.failure, { kind: 'refused', wasSent: false, hasHead: false, code: 'ECONNREFUSED' });
  assert.deepEqual(seen.steps, ['failure refused']);
  assert.equal(clock.timersLeft, 0);
});

test('proof, an unknown name was not sent', async (context) => {
  const seen = start(agent(context), 'http://no-such-host.invalid');
  await seen.ended;
  assert.equal(seen.failure?.kind, 'dns');
  assert.equal(seen.failure.wasSent, false);
});

test('proof, a host that speaks no TLS was not sent', async (context) => {
  const talker = await startRawServer(context, () => undefined);
  const seen = start(agent(context), talker.url.replace('http:', 'https:'), { limits: { connectMs: 3000 } });
  while (talker.sockets.length === 0) await pause(2);
  talker.sockets[0]!.end('this is no TLS\r\n');
  await seen.ended;
  assert.equal(seen.failure?.wasSent, false);
  assert.ok(seen.failure.kind === 'tls' || seen.failure.kind === 'refused', seen.failure.kind);
});

test('proof, a reset after the request was read was sent', async (context) => {
  const server = await startRawServer(context, (socket) => socket.resetAndDestroy());
  const seen = start(agent(context), server.url);
  await seen.ended;
  assert.equal(seen.failure?.kind, 'reset');
  assert.equal(seen.failure.wasSent, true);
  assert.equal(seen.failure.hasHead, false);
  assert.deepEqual(seen.steps, ['sent', 'failure reset']);
});

test('proof, a connection closed after the request without an answer was sent', async (context) => {
  const server = await startRawServer(context, (socket) => socket.end());
  const seen = start(agent(context), server.url);
  await seen.ended;
  assert.deepEqual([seen.failure?.kind, seen.failure?.wasSent], ['reset', true]);
});

test('proof, an answer that is no HTTP was sent', async (context) => {
  const server = await startRawServer(context, (socket) => socket.end('SSH-2.0-made-up\r\n\r\n'));
  const seen = start(agent(context), server.url);
  await seen.ended;
  assert.deepEqual([seen.failure?.kind, seen.failure?.wasSent], ['reset', true]);
});

test('answer, cut in its middle is a failure with a head, by length and by chunks', async (context) => {
  for (const head of ['Content-Length: 100', 'Transfer-Encoding: chunked']) {
    const server = await startRawServer(context, (socket) =>
      socket.end(`HTTP/1.1 200 OK\r\n${head}\r\n\r\n5\r\nhello`),
    );
    const seen = start(agent(context), server.url);
    await seen.ended;
    assert.deepEqual([seen.failure?.kind, seen.failure?.hasHead], ['reset', true], head);
    assert.equal(seen.steps.at(-1), 'failure reset');
  }
});

test('abort, at every stage ends once and closes the connection', async (context) => {
  for (const stage of ['sent', 'head 200', 'data']) {
    const server = await startRawServer(context, (socket) => socket.write(OK.slice(0, -2)));
    const clock = countingClock();
    const seen: Seen = start(agent(context), server.url, {
      clock,
      onStep(step) {
        if (step === stage) queueMicrotask(() => seen.exchange.abort());
      },
    });
    await seen.ended;
    seen.exchange.abort();
    seen.exchange.resume();
    await until(() => server.sockets.every((socket) => socket.destroyed || socket.readableEnded));
    assert.equal(seen.failure?.kind, 'aborted', stage);
    assert.equal(seen.steps.filter((step) => step.startsWith('failure')).length, 1, stage);
    assert.equal(seen.failure.wasSent, true);
    assert.equal(clock.timersLeft, 0);
  }
});

test('abort, from inside a report ends once too', async (context) => {
  for (const stage of ['sent', 'head 200', 'data']) {
    const server = await startRawServer(context, (socket) => socket.write(OK.slice(0, -2)));
    const seen: Seen = start(agent(context), server.url, {
      onStep(step) {
        if (step === stage) seen.exchange.abort();
      },
    });
    await seen.ended;
    await pause(10);
    assert.equal(seen.steps.filter((step) => step.startsWith('failure')).length, 1, stage);
    assert.equal(seen.failure?.kind, 'aborted');
  }
});

test('abort, before anything was sent ends at once', async (context) => {
  const server = await startRawServer(context, (socket) => socket.write(OK));
  const clock = countingClock();
  const seen = start(agent(context), server.url, { clock });
  seen.exchange.abort();
  await seen.ended;
  await pause(30);
  assert.deepEqual(seen.steps, ['failure aborted']);
  assert.equal(seen.failure?.wasSent, false);
  assert.ok(!server.received.some((text) => text !== ''));
  assert.equal(clock.timersLeft, 0);
});

test('abort, after the end does nothing', async (context) => {
  const server = await startRawServer(context, (socket) => socket.write(OK));
  const dispatcher = agent(context);
  const seen = start(dispatcher, server.url);
  await seen.ended;
  seen.exchange.abort();
  seen.exchange.resume();
  const next = start(dispatcher, server.url);
  await next.ended;
  assert.equal(next.steps.at(-1), 'end');
  assert.equal(seen.steps.at(-1), 'end');
});

test('observer, one that throws ends the exchange instead of hanging it', async (context) => {
  for (const stage of ['sent', 'head 200', 'data']) {
    const server = await startRawServer(context, (socket) => socket.write(OK));
    const clock = countingClock();
    const seen = start(agent(context), server.url, {
      clock,
      onStep(step) {
        if (step === stage) throw new Error('made up');
      },
    });
    await seen.ended;
    assert.equal(seen.failure?.wasSent, true, stage);
    assert.equal(clock.timersLeft, 0, stage);
  }
});

test('address, an invalid one is reported like a failure and never thrown', async (context) => {
  for (const request of [{ baseUrl: 'nonsense' }, { headers: { authorization: 'a\nb' } }, { path: 'no slash' }]) {
    const seen = start(agent(context), 'http://127.0.0.1:9', request);
    await seen.ended;
    assert.equal(seen.failure?.wasSent, false);
    assert.equal(seen.steps.length, 1);
  }
});

test('pause, an answer told whole only by the end of its connection survives that end in a pause', async (context) => {
  const heads = [
    'Connection: close\r\nContent-Length: 10\r\n',
    'Connection: close\r\nTransfer-Encoding: chunked\r\n',
    '',
  ];
  for (const head of heads)
    for (const isReset of [false, true]) {
      const server = await startRawServer(context, (socket) => {
        socket.write(`HTTP/1.1 200 OK\r\n${head}\r\nhello`);
        setTimeout(() => (isReset ? socket.resetAndDestroy() : socket.end()), 30);
      });
      const seen = start(agent(context), server.url, { takesMore: () => false, limits: { totalMs: 1000 } });
      await pause(80);
      seen.exchange.resume();
      await seen.ended;
      // What has no length at all cannot be told from a whole answer.
      assert.equal(seen.steps.at(-1), head === '' ? 'end' : 'failure reset', `${head} ${String(isReset)}`);
    }
});

test('pause, an answer many times larger than any buffer comes whole through a hundred pauses', async (context) => {
  const body = Buffer.alloc(3_000_000, 'abcdefghij');
  const server = await startRawServer(context, (socket) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`);
    socket.write(body);
  });
  let pauses = 0;
  const seen: Seen = start(agent(context), server.url, {
    takesMore() {
      pauses += 1;
      setImmediate(() => seen.exchange.resume());
      return false;
    },
  });
  await seen.ended;
  assert.ok(pauses > 20, `${pauses} pauses`);
  assert.equal(seen.steps.at(-1), 'end');
  assert.equal(seen.body, body.toString('latin1'));
});
