// Streams: whole events whatever the chunks from NovelAI, nothing held back, and a break that the client can see.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createServer, request as httpRequest, type Server, type ServerResponse } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { call, sha256 } from '../support/http-client.ts';
import { generationBody, startStack, type Stack } from '../support/stack.ts';
import { until } from '../support/until.ts';

/** A NovelAI text host whose stream the test writes by hand, piece by piece. */
async function startHandWritten(t: TestContext, headers: Record<string, string> = {}) {
  let take: (response: ServerResponse) => void = () => undefined;
  const started = new Promise<ServerResponse>((resolve) => {
    take = resolve;
  });
  const server: Server = createServer((request, response) => {
    request.resume();
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache', ...headers });
    response.flushHeaders();
    response.socket?.setNoDelay(true);
    take(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const stack = await startStack({ environment: { NOVELAI_TEXT_URL: `http://127.0.0.1:${port}` } });
  t.after(async () => {
    server.closeAllConnections();
    server.close();
    await stack.close();
  });
  return { stack, started };
}

/** Reads an answer as the chunks of HTTP's own framing: each is one write of the proxy's. */
async function readChunks({ address, token }: Stack, path: string, body: string) {
  const socket = connect(Number(new URL(address).port), '127.0.0.1');
  socket.write(
    `POST ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  const reader = { head: '', chunks: [] as string[], isEnded: false, isClosed: false, close: () => socket.destroy() };
  let buffered = '';
  socket.setEncoding('latin1');
  socket.on('close', () => (reader.isClosed = true));
  socket.on('data', (text: string) => {
    buffered += text;
    if (reader.head === '') {
      const end = buffered.indexOf('\r\n\r\n');
      if (end === -1) return;
      reader.head = buffered.slice(0, end);
      buffered = buffered.slice(end + 4);
    }
    for (;;) {
      const line = buffered.indexOf('\r\n');
      if (line === -1) return;
      const length = Number.parseInt(buffered.slice(0, line), 16);
      if (buffered.length < line + 2 + length + 2) return;
      if (length === 0) reader.isEnded = true;
      else reader.chunks.push(buffered.slice(line + 2, line + 2 + length));
      buffered = buffered.slice(line + 2 + length + 2);
    }
  });
  await until(() => reader.head !== '');
  return reader;
}

const TEXT = '{"input":"Hello","model":"kayra-v1","parameters":{}}';
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

test('SSE, cut anywhere by NovelAI: each event leaves in one write, as soon as its last byte is there', async (t) => {
  const { stack, started } = await startHandWritten(t);
  const reading = readChunks(stack, '/ai/generate-stream', TEXT);
  const upstream = await started;
  const reader = await reading;
  const events = ['a', 'b', 'c'].map((letter) => `event: newToken\ndata: {"token":"${letter.repeat(30)}"}\n\n`);
  for (const [index, event] of events.entries()) {
    for (let at = 0; at < event.length; at += 7) {
      assert.deepEqual(reader.chunks, events.slice(0, index), 'no part of an event');
      upstream.write(event.slice(at, at + 7));
      await pause(2);
    }
    await until(() => reader.chunks.length === index + 1);
    assert.equal(reader.chunks[index], event);
  }
  upstream.end(`${events[0]}${events[1]}data: [DONE]`);
  await until(() => reader.isEnded);
  assert.deepEqual(
    reader.chunks.slice(3),
    [events[0], events[1], 'data: [DONE]'],
    'also several at once, and an unended rest',
  );
  assert.match(reader.head, /cache-control: no-cache, no-transform/i);
  assert.match(reader.head, /x-accel-buffering: no/i);
  reader.close();
});

test('SSE, the head does not wait for the first event', async (t) => {
  const { stack, started } = await startHandWritten(t);
  const reader = await readChunks(stack, '/ai/generate-stream', TEXT);
  assert.match(reader.head, /^HTTP\/1\.1 200 /);
  assert.equal(reader.chunks.length, 0);
  (await started).end('data: x\n\n');
  await until(() => reader.isEnded);
  reader.close();
});

test('SSE, broken off by NovelAI: the client sees a cut, not an end; the log says truncated', async (t) => {
  const { stack, started } = await startHandWritten(t);
  const reader = await readChunks(stack, '/ai/generate-stream', TEXT);
  const upstream = await started;
  upstream.write('data: whole\n\ndata: ha');
  await until(() => reader.chunks.length === 1);
  upstream.destroy();
  await until(() => reader.isClosed);
  assert.equal(reader.isEnded, false);
  assert.deepEqual(reader.chunks, ['data: whole\n\n'], 'no part of an event');
  const line = await lastLine(stack);
  assert.equal(line['isTruncated'], true);
  assert.equal(line['outcome'], 'failed_upstream_free', 'text costs nothing');
  assert.equal(line['isDelivered'], false);
});

for (const [form, afterBytes] of [
  ['msgpack', 6000],
  ['sse', 9000],
] as const)
  test(`${form} of an image, broken off: cut, recorded, and not sent again`, async (t) => {
    const stack = await startStack({ simulator: { imageScale: 0.25 } });
    t.after(() => stack.close());
    stack.simulator.faults.add({ kind: 'reset-after-headers', endpoint: 'generate-image-stream', afterBytes });
    const body = generationBody({ parameters: { stream: form } });
    await assert.rejects(stack.generate(body, { path: '/ai/generate-image-stream' }));
    assert.equal(stack.simulator.truth.rows().filter(({ endpoint }) => endpoint === 'generate-image-stream').length, 1);
    assert.equal((await lastLine(stack))['isTruncated'], true);
  });

for (const form of ['msgpack', 'sse'] as const)
  test(`${form}, a client that reads slowly: every byte arrives, and the account is free before`, async (t) => {
    const stack = await startStack({ simulator: { imageScale: 1, fixedLatencyMs: 200 } });
    t.after(() => stack.close());
    const answer = new Promise<{ sha256: string; runningAtEnd: number }>((resolve, reject) => {
      const body = generationBody({ parameters: { stream: form } });
      const outgoing = httpRequest(
        `${stack.address}/ai/generate-image-stream`,
        { method: 'POST', headers: { authorization: `Bearer ${stack.token}`, 'content-length': body.length } },
        (response) => {
          const chunks: Buffer[] = [];
          response.pause();
          void stack.settled().then(() => response.on('data', (chunk: Buffer) => chunks.push(chunk)).resume(), reject);
          response.once('end', () =>
            resolve({ sha256: sha256(Buffer.concat(chunks)), runningAtEnd: stack.service.running }),
          );
        },
      );
      outgoing.once('error', reject);
      outgoing.end(body);
    });
    const { sha256: received } = await answer;
    const row = stack.simulator.truth.rows().find(({ endpoint }) => endpoint === 'generate-image-stream');
    assert.equal(received, row?.answerSha256);
    assert.ok((row?.answerBytes ?? 0) > 500_000, 'more than sockets hold');
  });

test('an error inside a stream passes on as it is', async (t) => {
  const stack = await startStack({ simulator: { imageScale: 0.25 } });
  t.after(() => stack.close());
  stack.simulator.faults.add({ kind: 'stream-error', endpoint: 'generate-image-stream' });
  const answer = await stack.generate(generationBody({ parameters: { stream: 'sse' } }), {
    path: '/ai/generate-image-stream',
  });
  assert.equal(answer.status, 200);
  assert.match(answer.text, /event: error\ndata: .*"message":"Internal Server Error"/);
  assert.equal(answer.sha256, stack.simulator.truth.rows().at(-1)?.answerSha256);
});

test('garbage where a zip was expected passes unread, the same bytes', async (t) => {
  const stack = await startStack({ accounts: 1 });
  t.after(() => stack.close());
  stack.simulator.faults.add({ kind: 'garbage', endpoint: 'generate-image' });
  const answer = await stack.generate(generationBody());
  assert.equal(answer.status, 200);
  assert.notEqual(answer.text.slice(0, 2), 'PK');
  assert.equal(answer.sha256, stack.simulator.truth.rows().find(({ fault }) => fault === 'garbage')?.answerSha256);
});

test('compressed answers, passed as they come where asked for, never asked for on streams', async (t) => {
  const stack = await startStack({ simulator: { recordsHeaders: true } });
  t.after(() => stack.close());
  const headers = { 'accept-encoding': 'gzip, br' };
  await stack.generate(generationBody(), { headers });
  await stack.generate(generationBody({ parameters: { stream: 'sse' } }), {
    headers,
    path: '/ai/generate-image-stream',
  });
  await call(`${stack.address}/oa/v1/models`, {
    method: 'GET',
    headers: { ...headers, authorization: `Bearer ${stack.token}` },
  });
  const asked = (endpoint: string) =>
    stack.simulator.truth.rows().find((row) => row.endpoint === endpoint)?.headers?.['accept-encoding'];
  assert.equal(asked('generate-image'), 'gzip, br');
  assert.equal(asked('generate-image-stream'), undefined);
  assert.equal(asked('text-models'), undefined);
});

/** The newest request line of the log. */
async function lastLine({ logDir }: Stack): Promise<Record<string, unknown>> {
  for (let tries = 0; tries < 100; tries += 1) {
    const lines = (await readFile(join(logDir, 'app.log'), 'utf8')).trim().split('\n');
    const last = lines
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .findLast(({ msg }) => msg === 'request');
    if (last) return last;
    await pause(10);
  }
  throw new Error('no request was logged');
}
