// Tests of bodies that arrive, wait and are sent: whole at every step, wherever they are, and nothing left of them afterwards.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as fc from 'fast-check';
import { ArrivingBody } from '../../../../src/dispatch/bodies/arriving-body.ts';
import type { BodyRoom } from '../../../../src/dispatch/bodies/body-room.ts';
import type { HeldBody } from '../../../../src/dispatch/bodies/held-body.ts';
import { Budget } from '../../../../src/lib/budget.ts';
import { Gate } from '../../../../src/lib/gate.ts';
import { madeBytes } from '../../../support/made-bytes.ts';

const KIB = 1024;

function newRoom(context: TestContext, { diskBytes = 1e9, memoryBytes = 1e9 } = {}): BodyRoom {
  const dir = mkdtempSync(join(tmpdir(), 'bodies-'));
  context.after(() => rmSync(dir, { recursive: true }));
  return {
    dir,
    disk: new Budget(diskBytes),
    memory: new Budget(memoryBytes),
    looking: new Gate(KIB * KIB),
  };
}

async function arrive(room: BodyRoom, pieces: readonly Buffer[], expectedBytes?: number): Promise<HeldBody> {
  const arriving = new ArrivingBody(room, expectedBytes);
  for (const piece of pieces) await arriving.add(Buffer.from(piece));
  return arriving.end();
}

async function wait(body: HeldBody): Promise<void> {
  body.rest();
  for (let turn = 0; turn < 500 && body.isInMemory; turn += 1) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** What is sent of it, put together. */
async function sentOf(body: HeldBody): Promise<Buffer> {
  const sent = body.forSending();
  if (Buffer.isBuffer(sent)) return sent;
  const pieces: Buffer[] = [];
  for await (const piece of sent) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

const copyOf = (body: HeldBody) => body.look((bytes) => Buffer.from(bytes));

test('arriving body, any pieces: whole, in memory or past it in a file, and at its end nothing is taken any more', async (context) => {
  const seen = { file: 0, memory: 0 };
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: 200 * KIB }), { minLength: 1, maxLength: 8 }),
      fc.constantFrom(0, 300 * KIB, 1e9),
      fc.constantFrom(0, 400 * KIB, 1e9),
      fc.boolean(),
      async (sizes, memoryBytes, diskBytes, isAnnounced) => {
        const room = newRoom(context, { memoryBytes, diskBytes });
        // Another one holds some memory, so that this one is not alone.
        room.memory.tryTake(1, { isForced: true });
        const pieces = sizes.map((size, index) => madeBytes(size).fill(index + 1, 0, 1));
        const sent = Buffer.concat(pieces);
        const body = await arrive(room, pieces, isAnnounced ? sent.length : undefined);
        seen[body.isInMemory ? 'memory' : 'file'] += 1;
        assert.equal(body.sizeBytes, sent.length);
        assert.ok((await copyOf(body)).equals(sent));
        assert.ok((await sentOf(body)).equals(sent));
        await body.release();
        assert.deepEqual([room.disk.used, room.memory.used, readdirSync(room.dir)], [0, 1, []]);
      },
    ),
    { numRuns: 60 },
  );
  assert.ok(seen.file > 5 && seen.memory > 5, JSON.stringify(seen));
});

test('arriving body, one that comes alone stays in memory whatever its size; a second one does not', async (context) => {
  const room = newRoom(context, { memoryBytes: 100 * KIB });
  const alone = await arrive(room, [madeBytes(900 * KIB)]);
  assert.equal(alone.isInMemory, true);
  const second = await arrive(room, [madeBytes(900 * KIB)]);
  assert.equal(second.isInMemory, false);
  await Promise.all([alone.release(), second.release()]);
  assert.deepEqual([room.disk.used, room.memory.used], [0, 0]);
});

test('arriving body, takes no more memory than twice what has come, whatever is announced', async (context) => {
  const room = newRoom(context);
  const arriving = new ArrivingBody(room, 30e6);
  await arriving.add(madeBytes(300 * KIB));
  assert.ok(room.memory.used > 0 && room.memory.used <= 600 * KIB, `${room.memory.used}`);
  await arriving.discard();
  assert.equal(room.memory.used, 0);
});

test('held body, a large one leaves memory when it waits, and is sent from its file as often as is wanted', async (context) => {
  const room = newRoom(context);
  const sent = madeBytes(700 * KIB);
  const body = await arrive(room, [sent]);
  for (let send = 0; send < 3; send += 1) {
    await wait(body);
    assert.equal(body.isInMemory, false);
    assert.equal(room.memory.used, 0);
    assert.ok((await copyOf(body)).equals(sent));
    assert.equal(body.isInMemory, false);
    assert.ok((await sentOf(body)).equals(sent));
    assert.equal(body.isInMemory, false);
    body.putBack();
  }
  assert.equal(room.disk.used, sent.length);
  await body.release();
  assert.equal(room.disk.used, 0);
  assert.throws(() => body.forSending(), /its request has ended/);
});

test('held body, a small one, and one that never waits, touch no disk', async (context) => {
  const room = newRoom(context);
  const small = await arrive(room, [madeBytes(256 * KIB)]);
  small.rest();
  const large = await arrive(room, [madeBytes(700 * KIB)]);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual([small.isInMemory, large.isInMemory, room.disk.used], [true, true, 0]);
  large.forSending();
  large.putBack();
  assert.equal(large.isInMemory, true);
  assert.equal(room.memory.used, large.sizeBytes, 'it counts as long as its request does');
  await large.release();
  assert.equal(room.memory.used, 0);
});

test('held body, sent while it is being written: the bytes stay valid', async (context) => {
  const room = newRoom(context);
  const sent = madeBytes(4000 * KIB);
  const body = await arrive(room, [sent]);
  body.rest();
  const bytes = await sentOf(body);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(room.disk.used, sent.length);
  assert.ok(bytes.equals(sent));
  await body.release();
  assert.ok(bytes.equals(sent));
});

test('held body, released while it is being written gives the disk back', async (context) => {
  const room = newRoom(context);
  const body = await arrive(room, [madeBytes(4000 * KIB)]);
  body.rest();
  await body.release();
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.deepEqual([room.disk.used, room.memory.used, body.isInMemory], [0, 0, false]);
});

test('held body, a disk that is full or cannot be written leaves it in memory', async (context) => {
  const sent = madeBytes(700 * KIB);
  const full = newRoom(context, { diskBytes: 100 * KIB });
  // No folder can be made where a file is.
  const unusable = { ...newRoom(context), dir: fileURLToPath(import.meta.url) };
  for (const room of [full, unusable]) {
    const body = await arrive(room, [sent]);
    body.rest();
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(body.isInMemory, true);
    assert.ok((await sentOf(body)).equals(sent));
    await body.release();
    assert.deepEqual([room.disk.used, room.memory.used], [0, 0]);
  }
});
