// Tests of bodies sent out of their file: whole at a host that reads slowly, though every piece lies in the same memory.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { newBodyRoom } from '../../../../src/dispatch/bodies/body-room.ts';
import { SpoolFile } from '../../../../src/dispatch/bodies/spool-file.ts';
import { SpoolPieces } from '../../../../src/dispatch/bodies/spool-pieces.ts';
import { agent, OK, start } from '../../../support/exchange-under-test.ts';
import { madeBytes } from '../../../support/made-bytes.ts';
import { startRawServer } from '../../../support/raw-server.ts';

const KIB = 1024;
const HEAD_END = '\r\n\r\n';

async function spooled(context: TestContext, bytes: Buffer): Promise<SpoolFile> {
  const dir = mkdtempSync(join(tmpdir(), 'pieces-'));
  const file = await SpoolFile.open(newBodyRoom(dir));
  context.after(async () => {
    await file.close();
    rmSync(dir, { recursive: true });
  });
  await file.append(bytes);
  return file;
}

/** A host that stops reading after every piece for a moment, and answers when `sizeBytes` of a body have come. */
async function startSlowReader(context: TestContext, sizeBytes: number) {
  const bodies: Buffer[] = [];
  const heads: string[] = [];
  const server = await startRawServer(
    context,
    () => undefined,
    (socket) => {
      let received = Buffer.alloc(0);
      socket.on('data', (chunk: Buffer) => {
        received = Buffer.concat([received, chunk]);
        socket.pause();
        setTimeout(() => socket.resume(), 3);
        const bodyAt = received.indexOf(HEAD_END) + HEAD_END.length;
        if (received.length < bodyAt + sizeBytes) return;
        heads.push(received.toString('latin1', 0, bodyAt));
        bodies.push(received.subarray(bodyAt));
        received = Buffer.alloc(0);
        socket.write(OK);
      });
    },
  );
  return { url: server.url, bodies, heads };
}

test('spool pieces, whole and with a length at a host that reads slowly, again and again', async (context) => {
  for (const sizeBytes of [256 * KIB + 1, 1000 * KIB, 5 * KIB * KIB]) {
    const bytes = madeBytes(sizeBytes);
    const pieces = new SpoolPieces(await spooled(context, bytes));
    const host = await startSlowReader(context, sizeBytes);
    const dispatcher = agent(context);
    for (let send = 0; send < 2; send += 1) {
      const seen = start(dispatcher, host.url, { body: pieces });
      await seen.ended;
      assert.equal(seen.steps.at(-1), 'end');
      assert.match(host.heads[send] ?? '', new RegExp(`content-length: ${sizeBytes}\r\n`));
      assert.doesNotMatch(host.heads[send] ?? '', /transfer-encoding/i);
      assert.equal(digest(host.bodies[send]), digest(bytes), `${sizeBytes}, sending ${send}`);
    }
  }
});

test('spool pieces, no piece is so small that a connection takes it without a wait, and all lie in one memory', async (context) => {
  for (const sizeBytes of [256 * KIB + 1, 512 * KIB + 1, 1000 * KIB]) {
    const memories = new Set<ArrayBufferLike>();
    for await (const piece of new SpoolPieces(await spooled(context, madeBytes(sizeBytes)))) {
      assert.ok(piece.length > 64 * KIB && piece.length <= 256 * KIB, `${piece.length}`);
      memories.add(piece.buffer);
    }
    assert.equal(memories.size, 1);
  }
});

test('spool pieces, a file that cannot be read any more ends the exchange as a lost body', async (context) => {
  const file = await spooled(context, madeBytes(1000 * KIB));
  const pieces = new SpoolPieces(file);
  const server = await startRawServer(context, () => undefined);
  const seen = start(agent(context), server.url, {
    body: {
      sizeBytes: pieces.sizeBytes,
      async *[Symbol.asyncIterator]() {
        for await (const piece of pieces) {
          yield piece;
          await file.close();
        }
      },
    },
  });
  await seen.ended;
  assert.deepEqual(seen.steps, ['sent', 'failure body_lost']);
  assert.equal(seen.failure?.wasSent, false);
});

test('spool pieces, an answer that comes before the whole body is taken is the answer, and the next request goes on', async (context) => {
  const pieces = new SpoolPieces(await spooled(context, madeBytes(5 * KIB * KIB)));
  const host = await startRawServer(
    context,
    () => undefined,
    (socket) => {
      socket.once('data', () => {
        socket.pause();
        socket.write('HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno');
      });
    },
  );
  const dispatcher = agent(context);
  for (let send = 0; send < 3; send += 1) {
    const seen = start(dispatcher, host.url, { body: pieces });
    await seen.ended;
    assert.deepEqual(seen.steps, ['sent', 'head 400', 'data', 'end']);
    assert.equal(seen.body, 'no');
  }
  assert.equal(host.sockets.length, 3);
});

function digest(bytes: Buffer | undefined): string {
  return createHash('sha256')
    .update(bytes ?? '')
    .digest('hex');
}
