// Tests of a client's connection as a sink: what goes out at once, and what after the account's next request.
import assert from 'node:assert/strict';
import { createServer, type ServerResponse } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { NativeSink } from '../../../src/dialects/native/native-sink.ts';
import { until } from '../../support/until.ts';

/** An answer that is about to be given, over real sockets, and all that its client has of it. */
async function openAnswer(context: TestContext): Promise<{ sink: NativeSink; socket: Socket; received: () => string }> {
  const { promise, resolve } = Promise.withResolvers<ServerResponse>();
  const server = createServer((_request, response) => resolve(response)).listen(0, '127.0.0.1');
  await new Promise((listening) => server.once('listening', listening));
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  let text = '';
  client.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  client.write('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n');
  context.after(() => {
    client.destroy();
    server.close();
  });
  const response = await promise;
  assert.ok(response.socket);
  return { sink: new NativeSink(response), socket: response.socket, received: () => text };
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

test('sink, a picture and its end are written together, two turns later', async (context) => {
  const { sink, socket, received } = await openAnswer(context);
  sink.head(200, { 'content-type': 'binary/octet-stream' });
  sink.write(Buffer.from('picture'));
  let hasEnded = false;
  sink.end(() => (hasEnded = true));
  // NovelAI's next request is sent in this turn.
  await turn();
  assert.equal(socket.bytesWritten - socket.writableLength, 0, 'nothing has left yet');
  await until(() => hasEnded && received().endsWith('0\r\n\r\n'));
  assert.match(received(), /picture/);
});

test('sink, an event of a stream is written in its own turn', async (context) => {
  const { sink, socket } = await openAnswer(context);
  sink.head(200, { 'content-type': 'text/event-stream' });
  sink.write(Buffer.from('data: 1\n\n'));
  await turn();
  assert.equal(socket.writableLength, 0);
});

test('sink, more than a connection buffers is not kept back', async (context) => {
  const { sink, socket } = await openAnswer(context);
  sink.head(200, { 'content-type': 'binary/octet-stream' });
  assert.equal(sink.write(Buffer.alloc(socket.writableHighWaterMark)), false);
  assert.equal(socket.writableCorked, 0);
});

test('sink, a cut brings the client what it had before', async (context) => {
  const { sink, received } = await openAnswer(context);
  sink.head(200, { 'content-type': 'binary/octet-stream' });
  sink.write(Buffer.from('a part'));
  sink.cut();
  await until(() => received().includes('a part'));
  assert.ok(!received().endsWith('0\r\n\r\n'));
});
