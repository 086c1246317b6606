// Tests of the ways to NovelAI: directly, through an HTTP tunnel, and through SOCKS, each account by its own.
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../../../src/lib/clock.ts';
import { collect, type Collected } from '../../../src/upstream/collect.ts';
import { Connections } from '../../../src/upstream/connections.ts';
import { startRawServer, type RawServer } from '../../support/raw-server.ts';

const LIMITS = { connectMs: 3000, firstByteMs: 3000, idleMs: 3000, totalMs: 3000 };
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

function openConnections(context: TestContext): Connections {
  const connections = new Connections({ connectMs: 2000 });
  context.after(() => connections.close());
  return connections;
}

function get(connections: Connections, proxyUrl: string | undefined, baseUrl: string): Promise<Collected> {
  const dispatcher = connections.for(proxyUrl);
  return collect(
    { dispatcher, baseUrl, path: '/x', method: 'GET', headers: {}, body: null, limits: LIMITS },
    systemClock,
  );
}

function join(a: Socket, b: Socket): void {
  a.on('data', (chunk) => b.write(chunk));
  b.on('data', (chunk) => a.write(chunk));
  a.on('close', () => b.destroy());
  b.on('error', () => undefined);
}

/** A SOCKS5 server that asks for a user name and password and leads every connection to `target`. */
function speakSocks(socket: Socket, target: RawServer, logins: string[]): void {
  let step = 0;
  socket.on('data', (chunk) => {
    step += 1;
    if (step === 1) socket.write(Buffer.from([5, 2]));
    else if (step === 2) {
      const nameLength = chunk[1] ?? 0;
      const name = chunk.subarray(2, 2 + nameLength).toString();
      logins.push(`${name}:${chunk.subarray(3 + nameLength).toString()}`);
      socket.write(Buffer.from([1, 0]));
    } else if (step === 3) {
      join(socket, connect(target.port, '127.0.0.1'));
      socket.write(Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]));
    }
  });
}

test('connections, one dispatcher for each proxy and one for none', (context) => {
  const connections = openConnections(context);
  const [first, second] = ['http://127.0.0.1:9', 'http://127.0.0.1:8'];
  assert.equal(connections.for(first), connections.for(first));
  assert.notEqual(connections.for(first), connections.for(second));
  assert.equal(connections.for(undefined), connections.for(undefined));
});

test('connections, without a proxy the host itself is reached', async (context) => {
  const target = await startRawServer(context, (socket) => socket.write(OK));
  const answer = await get(openConnections(context), undefined, target.url);
  assert.ok(answer.isAnswer && answer.body.toString() === 'ok');
});

test('connections, an HTTP proxy gets its login, and NovelAI only the request', async (context) => {
  const target = await startRawServer(context, (socket) => socket.write(OK));
  const proxy = await startRawServer(context, (socket, requestNumber) => {
    if (requestNumber > 1) return;
    join(socket, connect(target.port, '127.0.0.1'));
    socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
  });
  const proxyUrl = proxy.url.replace('http://', 'http://owner:made-up@');
  const answer = await get(openConnections(context), proxyUrl, target.url);
  assert.ok(answer.isAnswer && answer.status === 200);
  assert.match(proxy.received[0]!, /^CONNECT 127\.0\.0\.1:\d+ HTTP\/1\.1\r\n/);
  const login = Buffer.from('owner:made-up').toString('base64');
  assert.ok(proxy.received[0]!.includes(`proxy-authorization: Basic ${login}`));
  assert.match(target.received[0]!, /^GET \/x HTTP\/1\.1\r\n/);
  assert.ok(!target.received[0]!.includes('roxy-'));
});

test('connections, a tunnel that is refused is proof that nothing was sent', async (context) => {
  const proxy = await startRawServer(context, (socket) => socket.end('HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n'));
  const answer = await get(openConnections(context), proxy.url, 'http://target.example');
  assert.ok(!answer.isAnswer);
  assert.equal(answer.failure.wasSent, false);
});

test('connections, a SOCKS proxy with a login leads to the host', async (context) => {
  const target = await startRawServer(context, (socket) => socket.write(OK));
  const logins: string[] = [];
  const proxy = await startRawServer(
    context,
    () => undefined,
    (socket) => speakSocks(socket, target, logins),
  );
  const answer = await get(openConnections(context), `socks5://owner:made-up@127.0.0.1:${proxy.port}`, target.url);
  assert.ok(answer.isAnswer && answer.body.toString() === 'ok', JSON.stringify(answer));
  assert.deepEqual(logins, ['owner:made-up']);
});

test('connections, closing ends what runs', async (context) => {
  const silent = await startRawServer(context, () => undefined);
  const connections = openConnections(context);
  const waiting = get(connections, undefined, silent.url);
  while (silent.received[0] === undefined || silent.received[0] === '')
    await new Promise((resolve) => setTimeout(resolve, 1));
  await connections.close();
  const answer = await waiting;
  assert.ok(!answer.isAnswer && answer.failure.wasSent);
});
