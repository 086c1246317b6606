// The shipped nginx and Caddy files, run for real in front of the proxy: bytes, streams, large bodies, programs that leave, no second send.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import {
  createServer,
  request as httpRequest,
  type ClientRequest,
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { call, sha256, type CallOptions } from '../support/http-client.ts';
import { generationBody, startStack, type StackOptions } from '../support/stack.ts';
import { until } from '../support/until.ts';
import { checkNginxWithTls, startFront, type Front, type FrontName } from './front.ts';
import { reasonForNo, runTool } from './tools.ts';

const FRONTS: readonly { name: FrontName; debianPackage: string }[] = [
  { name: 'nginx', debianPackage: 'nginx-light' },
  { name: 'caddy', debianPackage: 'caddy' },
];
const MEBIBYTE = 1024 * 1024;
const GZIP = { 'accept-encoding': 'gzip' };

/** A folder for one test. */
function makeFolder(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'front-test-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** A front before somebody, given by host and port. */
async function startFrontOf(t: TestContext, name: FrontName, upstream: string): Promise<Front> {
  const front = await startFront(name, { dir: makeFolder(t), upstream });
  t.after(() => front.stop());
  return front;
}

/** Simulator, proxy and front. */
async function startAll(t: TestContext, name: FrontName, options: StackOptions = {}) {
  const stack = await startStack(options);
  t.after(() => stack.close());
  const { address } = await startFrontOf(t, name, new URL(stack.address).host);
  const headers = { authorization: `Bearer ${stack.token}`, 'content-type': 'application/json' };
  return {
    stack,
    address,
    headers,
    generate: (body: Buffer, more: CallOptions = {}) =>
      call(`${address}/ai/generate-image`, { body, headers, ...more }),
    lastSeen: () => stack.simulator.truth.rows().findLast(({ endpoint }) => endpoint === 'generate-image'),
  };
}

/** Somebody in the place of the proxy or of NovelAI; gives host and port. */
async function startStandIn(t: TestContext, answer: RequestListener): Promise<string> {
  const server = createServer(answer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close().closeAllConnections());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** One who says nothing about buffering, and whose first exchange the test reads and writes by hand. */
async function startByHand(t: TestContext) {
  const { promise: started, resolve } = Promise.withResolvers<{ request: IncomingMessage; response: ServerResponse }>();
  return { host: await startStandIn(t, (request, response) => resolve({ request, response })), started };
}

/** One who breaks off every generation and answers whatever else. Counts what reached it. */
async function startBreaking(t: TestContext) {
  const seen: string[] = [];
  const host = await startStandIn(t, (request, response) => {
    request.resume().once('end', () => {
      seen.push(`${request.method} ${request.url}`);
      if (request.url === '/ai/generate-image') request.socket.destroy();
      else response.end('whole');
    });
  });
  return { host, seen };
}

/** Reads as it comes. */
function collect(stream: IncomingMessage) {
  const reader = { text: '', isEnded: false };
  stream.setEncoding('utf8').on('data', (piece: string) => (reader.text += piece));
  stream.once('end', () => (reader.isEnded = true));
  return reader;
}

/** Sends a picture request that is going to be broken off. */
function startAndLeave(generate: (body: Buffer, options: CallOptions) => Promise<unknown>) {
  let outgoing: ClientRequest | undefined;
  const ended = generate(generationBody(), { onRequest: (request) => (outgoing = request) });
  const left = assert.rejects(ended);
  return {
    async leave() {
      outgoing?.destroy();
      await left;
    },
  };
}

for (const { name, debianPackage } of FRONTS) {
  const skip = reasonForNo(name, debianPackage);
  const check = (criterion: string, run: (t: TestContext) => Promise<void>) =>
    test(`${name}, ${criterion}`, { skip }, run);

  check("a picture: NovelAI gets the program's bytes and the program NovelAI's", async (t) => {
    const { stack, generate, headers, lastSeen } = await startAll(t, name, { simulator: { imageScale: 0.5 } });
    const body = generationBody();
    const answer = await generate(body, { headers: { ...headers, ...GZIP } });
    assert.equal(answer.status, 200, answer.text);
    assert.ok(answer.body.length > 10_000, 'a picture worth the name');
    assert.equal(lastSeen()?.requestSha256, sha256(body));
    assert.equal(lastSeen()?.answerSha256, answer.sha256);
    assert.equal(answer.headers['content-encoding'], undefined);
    const { headers: direct } = await stack.generate(generationBody({ prompt: 'another' }));
    for (const header of ['content-type', 'content-disposition']) assert.equal(answer.headers[header], direct[header]);
    assert.ok(answer.headers['x-request-id'], 'the line in the log can be found');
  });

  check('a body of 10 MB passes; one above the limit is refused by the service in its own form', async (t) => {
    const { generate, lastSeen } = await startAll(t, name);
    const large = generationBody({ parameters: { image_cache: 'A'.repeat(10 * MEBIBYTE) } });
    const answer = await generate(large);
    assert.equal(answer.status, 200, answer.text.slice(0, 300));
    assert.equal(lastSeen()?.requestSha256, sha256(large));
    const tooLarge = await generate(generationBody({ parameters: { image_cache: 'A'.repeat(33 * MEBIBYTE) } }));
    assert.equal(tooLarge.status, 413);
    assert.equal(tooLarge.headers['content-type'], 'application/json');
    assert.equal((JSON.parse(tooLarge.text) as { statusCode: number }).statusCode, 413);
  });

  check('SSE: each event is with the program before the next one is written', async (t) => {
    const { host, started } = await startByHand(t);
    const { address, headers } = await startAll(t, name, { environment: { NOVELAI_TEXT_URL: `http://${host}` } });
    const outgoing = httpRequest(`${address}/ai/generate-stream`, { method: 'POST', headers: { ...headers, ...GZIP } });
    outgoing.end('{"input":"Hello","model":"kayra-v1","parameters":{}}');
    const { request, response: upstream } = await started;
    request.resume();
    upstream.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' }).flushHeaders();
    const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
    assert.equal(incoming.headers['content-encoding'], undefined);
    const reader = collect(incoming);
    let written = '';
    for (let count = 0; count < 5; count += 1) {
      const event = `event: newToken\nid: ${count}\ndata: {"token":"a"}\n\n`;
      upstream.write(event);
      written += event;
      await until(() => reader.text === written);
      assert.equal(reader.isEnded, false);
    }
    upstream.end();
    await until(() => reader.isEnded);
  });

  check('both ways: each piece is on the other side before the next one is written', async (t) => {
    const { host, started } = await startByHand(t);
    const { address } = await startFrontOf(t, name, host);
    const outgoing = httpRequest(`${address}/ai/generate-image-stream`, { method: 'POST' });
    t.after(() => outgoing.destroy());
    outgoing.write('a');
    const { request, response } = await started;
    const upward = collect(request);
    for (let count = 1; count <= 3; count += 1) {
      await until(() => upward.text === 'a'.repeat(count));
      outgoing.write('a');
    }
    outgoing.end();
    await until(() => upward.isEnded);
    response.writeHead(200, { 'content-type': 'application/msgpack' }).write('b');
    const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
    const downward = collect(incoming);
    for (let count = 1; count <= 3; count += 1) {
      await until(() => downward.text === 'b'.repeat(count));
      response.write('b');
    }
    response.end();
    await until(() => downward.isEnded);
  });

  check('a program that leaves: gives up its place in the queue, and what is at NovelAI goes on', async (t) => {
    const { stack, generate } = await startAll(t, name, { environment: { SHUTDOWN_TIMEOUT: '100ms' } });
    const { queue } = stack.service;
    stack.simulator.latency.fixedMs = 60_000;
    const inProgress = startAndLeave(generate);
    await until(() => queue.running === 1);
    const waiting = startAndLeave(generate);
    await until(() => queue.stats('image').queued === 1);
    await waiting.leave();
    await until(() => queue.stats('image').queued === 0);
    assert.equal(queue.running, 1);
    await inProgress.leave();
  });

  check('a connection that breaks: the request is not sent a second time', async (t) => {
    const { host, seen } = await startBreaking(t);
    const { address } = await startFrontOf(t, name, host);
    const headers = { 'idempotency-key': 'made-up' };
    const ask = (method: string, path: string) => call(address + path, { method, headers, body: generationBody() });
    for (const method of ['POST', 'GET']) {
      // Leaves a connection that is kept and used again: a break on such a one is easily taken for old age.
      assert.equal((await ask('POST', '/v1/price')).text, 'whole');
      seen.length = 0;
      assert.equal((await ask(method, '/ai/generate-image')).status, 502);
      assert.deepEqual(seen, [`${method} /ai/generate-image`]);
    }
  });

  check("the service's figures stay on this machine; its health does not", async (t) => {
    const { host, seen } = await startBreaking(t);
    const { address } = await startFrontOf(t, name, host);
    for (const path of ['/metrics', '/metrics?a=b', '/metrics/', '//metrics', '/%6detrics', '/a/../metrics'])
      assert.equal((await call(address + path, { method: 'GET' })).status, 404, path);
    assert.deepEqual(seen, []);
    assert.equal((await call(`${address}/livez`, { method: 'GET' })).text, 'whole');
  });
}

const skipTls = reasonForNo('nginx', 'nginx-light') || reasonForNo('openssl', 'openssl');
test('nginx, the shipped file with its TLS is sound', { skip: skipTls }, async (t) => {
  assert.match(await checkNginxWithTls(makeFolder(t)), /syntax is ok/);
});

test('Caddy, the shipped file is valid and formatted', { skip: reasonForNo('caddy', 'caddy') }, async () => {
  assert.match(
    await runTool('caddy', ['validate', '--adapter', 'caddyfile', '--config', 'deploy/caddy/Caddyfile']),
    /Valid configuration/,
  );
  assert.doesNotMatch(await runTool('caddy', ['fmt', '--diff', 'deploy/caddy/Caddyfile']), /^[-+]/m);
});
