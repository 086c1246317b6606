// Tests of the store between NovelAI's pace and a client's: bytes out are bytes in, in order, whatever memory and disk do.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import * as fc from 'fast-check';
import { ReadAhead } from '../../../src/dispatch/read-ahead.ts';
import { Budget } from '../../../src/lib/budget.ts';
import { settle } from '../../support/fake-clock.ts';
import { until } from '../../support/until.ts';

const dir = mkdtempSync(join(tmpdir(), 'read-ahead-test-'));
after(() => rmSync(dir, { recursive: true, force: true }));

const KIB = 1024;

interface Setting {
  memoryBytes?: number;
  diskBytes?: number;
  spoolDir?: string;
}

function setUp({ memoryBytes = 1024 * KIB, diskBytes = 64 * 1024 * KIB, spoolDir = join(dir, 'spool') }: Setting = {}) {
  const memory = new Budget(memoryBytes);
  const disk = new Budget(diskBytes);
  const all = { memory, disk, rooms: 0, onRoom: () => undefined as void, readAhead: undefined as unknown as ReadAhead };
  all.readAhead = new ReadAhead({
    memory,
    disk,
    dir: spoolDir,
    onRoom() {
      all.rooms += 1;
      all.onRoom();
    },
  });
  return all;
}

/** Bytes that tell their place, so that any mix-up shows. */
function bytesAt(offset: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let index = 0; index < length; index += 1) bytes[index] = ((offset + index) * 2654435761) >>> 24;
  return bytes;
}

async function readAll(readAhead: ReadAhead): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for (let chunk = await readAhead.next(); chunk; chunk = await readAhead.next()) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function openFiles(): number {
  return readdirSync('/proc/self/fd').length;
}

type Disk = 'good' | 'full' | 'short' | 'stuck';

/** Runs with a disk that behaves as told for each write. */
async function withDisk(nextWrite: () => Disk | Promise<Disk>, run: () => Promise<void>): Promise<void> {
  const probe = await open(join(dir, 'probe'), 'w');
  const prototype = Object.getPrototypeOf(probe) as { write: (...args: unknown[]) => Promise<unknown> };
  await probe.close();
  const { write } = prototype;
  prototype.write = async function faulty(this: FileHandle, ...args: unknown[]): Promise<unknown> {
    const [buffer, offset, length, position] = args as [Buffer, number, number, number];
    switch (await nextWrite()) {
      case 'full':
        throw Object.assign(new Error('made up'), { code: 'ENOSPC' });
      case 'stuck':
        return { bytesWritten: 0, buffer };
      case 'short':
        return write.call(this, buffer, offset, Math.max(1, length >> 1), position);
      case 'good':
        return write.apply(this, args);
    }
  };
  try {
    await run();
  } finally {
    prototype.write = write;
  }
}

test('memory, chunks come out as they went in and the budget is given back', async () => {
  const { readAhead, memory, disk } = setUp();
  const chunks = [bytesAt(0, 10), bytesAt(10, 0), bytesAt(10, 500)];
  for (const chunk of chunks) assert.equal(readAhead.push(chunk), true);
  assert.equal(memory.used, 510);
  assert.equal(readAhead.isEmpty, false);
  readAhead.end();
  assert.deepEqual(await readAll(readAhead), Buffer.concat(chunks));
  assert.equal(readAhead.isEmpty, true);
  assert.equal(memory.used + disk.used, 0);
});

test('reader, one that waits is woken by a push, by the end and by a discard', async () => {
  for (const wake of ['push', 'end', 'discard'] as const) {
    const { readAhead } = setUp();
    const waiting = readAhead.next();
    await settle();
    if (wake === 'push') readAhead.push(Buffer.from('x'));
    else readAhead[wake]();
    assert.equal((await waiting)?.toString(), wake === 'push' ? 'x' : undefined);
  }
});

test('file, what exceeds the memory goes to a file that nobody else can see, and comes back in order', async () => {
  const spoolDir = join(dir, 'unseen');
  const { readAhead, memory, disk } = setUp({ memoryBytes: 100, spoolDir });
  const before = openFiles();
  let offset = 0;
  for (const length of [80, 70, 200_000, 10, 100_000]) {
    readAhead.push(bytesAt(offset, length));
    offset += length;
  }
  while (disk.used < 300_080) await settle();
  assert.deepEqual(readdirSync(spoolDir), [], 'the file has no name');
  assert.ok(memory.used <= 100);
  readAhead.end();
  assert.deepEqual(await readAll(readAhead), bytesAt(0, offset));
  assert.equal(memory.used + disk.used, 0);
  await readAhead.close();
  assert.equal(openFiles(), before);
});

test('file, memory is used again once the reader has caught up, and the file starts anew', async () => {
  const { readAhead, memory, disk } = setUp({ memoryBytes: 1000 });
  let offset = 0;
  for (let round = 0; round < 5; round += 1) {
    const from = offset;
    for (let n = 0; n < 4; n += 1) {
      readAhead.push(bytesAt(offset, 400));
      offset += 400;
    }
    const read: Buffer[] = [];
    for (let length = 0; length < 1600; length += read.at(-1)!.length) read.push((await readAhead.next())!);
    assert.deepEqual(Buffer.concat(read), bytesAt(from, 1600));
    assert.equal(memory.used, 0);
    assert.equal(disk.used, 0, `round ${round}`);
  }
  await readAhead.close();
});

test('back-pressure, a disk slower than NovelAI asks for a pause past half a megabyte and ends it once', async () => {
  const all = setUp({ memoryBytes: 0 });
  const answers = Array.from({ length: 12 }, (_, n) => all.readAhead.push(bytesAt(n * 64 * KIB, 64 * KIB)));
  assert.deepEqual(
    answers.slice(0, 8),
    Array.from({ length: 8 }, () => true),
  );
  assert.equal(answers.at(-1), false);
  assert.equal(all.rooms, 0);
  while (all.rooms === 0) await settle();
  all.readAhead.end();
  assert.deepEqual(await readAll(all.readAhead), bytesAt(0, 12 * 64 * KIB));
  assert.equal(all.rooms, 1);
  await all.readAhead.close();
});

test('back-pressure, bytes that still come after the pause was asked for do not make it endless', async () => {
  const all = setUp({ memoryBytes: 0 });
  const gates: (() => void)[] = [];
  const openGate = async () => {
    await until(() => gates.length === 1);
    gates.shift()!();
  };
  await withDisk(
    () => new Promise((resolve) => gates.push(() => resolve('good'))),
    async () => {
      for (let n = 0; n < 3; n += 1) assert.equal(all.readAhead.push(bytesAt(n * 200 * KIB, 200 * KIB)), n < 2);
      await openGate();
      await until(() => gates.length === 1);
      // 400 KiB are left: below the limit for a pause, but above the one for its end.
      assert.equal(all.rooms, 0);
      all.readAhead.push(bytesAt(600 * KIB, 10));
      for (let n = 0; n < 3; n += 1) await openGate();
    },
  );
  await until(() => all.rooms === 1);
  all.readAhead.end();
  assert.deepEqual(await readAll(all.readAhead), bytesAt(0, 600 * KIB + 10));
  await all.readAhead.close();
});

test('disk, one that cannot be written makes NovelAI wait for the client, and no byte is lost', async () => {
  const blocked = join(dir, 'no-folder');
  writeFileSync(blocked, '');
  for (const setting of [{ spoolDir: join(blocked, 'spool') }, { diskBytes: 10 }]) {
    const all = setUp({ memoryBytes: 100, ...setting });
    let pushed = 0;
    // How soon the fault shows is the disk's business.
    await until(() => !all.readAhead.push(bytesAt((pushed += 1) * 100 - 100, 100)));
    const read: Buffer[] = [];
    while (read.length < pushed) {
      assert.equal(all.rooms, 0);
      read.push((await all.readAhead.next())!);
    }
    assert.equal(all.rooms, 1);
    assert.deepEqual(Buffer.concat(read), bytesAt(0, pushed * 100));
    assert.equal(all.disk.used, 0);
    assert.equal(all.readAhead.push(bytesAt(300, 50)), true, 'memory again');
    all.readAhead.end();
    assert.deepEqual(await readAll(all.readAhead), bytesAt(300, 50));
    assert.equal(all.memory.used, 0);
  }
});

test('disk, one that fails again and again does not eat up the budget of all', async () => {
  const blocked = join(dir, 'no-folder-either');
  writeFileSync(blocked, '');
  const all = setUp({ memoryBytes: 0, diskBytes: 1000, spoolDir: join(blocked, 'spool') });
  for (let round = 0; round < 20; round += 1) {
    all.readAhead.push(bytesAt(round * 100, 100));
    await settle(5);
    assert.deepEqual(await all.readAhead.next(), bytesAt(round * 100, 100));
    assert.equal(all.disk.used, 0, `round ${round}`);
  }
  all.readAhead.discard();
});

test('disk, one that takes a part of a chunk only gets the rest too', async () => {
  const all = setUp({ memoryBytes: 0 });
  await withDisk(
    () => 'short',
    async () => {
      for (let n = 0; n < 5; n += 1) all.readAhead.push(bytesAt(n * 1000, 1000));
      all.readAhead.end();
      assert.deepEqual(await readAll(all.readAhead), bytesAt(0, 5000));
    },
  );
  await all.readAhead.close();
});

test('disk, one that has become full after a part keeps that part right', async () => {
  for (const end of ['full', 'stuck'] as const) {
    const all = setUp({ memoryBytes: 0 });
    const writes: Disk[] = ['good', 'short', end];
    await withDisk(
      () => writes.shift() ?? 'full',
      async () => {
        for (let n = 0; n < 4; n += 1) all.readAhead.push(bytesAt(n * 1000, 1000));
        await settle(20);
        all.readAhead.end();
        assert.deepEqual(await readAll(all.readAhead), bytesAt(0, 4000));
      },
    );
    assert.equal(all.disk.used, 0);
    await all.readAhead.close();
  }
});

test('discard, at any moment frees memory, disk and file, ends the pause and drops what still comes', async () => {
  const before = openFiles();
  for (let ticks = 0; ticks < 12; ticks += 1) {
    const all = setUp({ memoryBytes: 1000 });
    for (let n = 0; n < 12; n += 1) all.readAhead.push(bytesAt(n * 64 * KIB, 64 * KIB));
    const reading = ticks % 3 === 0 ? all.readAhead.next() : undefined;
    for (let tick = 0; tick < ticks; tick += 1) await new Promise((resolve) => setImmediate(resolve));
    if (ticks % 2 === 0) void all.readAhead.close();
    else all.readAhead.discard();
    assert.equal(all.readAhead.push(bytesAt(0, 10)), true);
    await reading;
    assert.equal(await all.readAhead.next(), undefined);
    await until(() => all.memory.used + all.disk.used === 0 && openFiles() <= before);
    assert.ok(all.rooms === 1 || ticks > 3, 'who was paused may go on');
    all.readAhead.discard();
    await all.readAhead.close();
    assert.equal(all.memory.used + all.disk.used, 0);
  }
});

test('model, for any chunks, pauses, budgets and disk failures the bytes out are the bytes in', async () => {
  const disk = fc.constantFrom<Disk>('good', 'good', 'good', 'full', 'short', 'stuck');
  const scenario = fc.record({
    memoryBytes: fc.constantFrom(0, 1, 500, 5000, 1024 * KIB),
    diskBytes: fc.constantFrom(0, 700, 20_000, 64 * 1024 * KIB),
    chunks: fc.array(fc.oneof(fc.nat(1500), fc.constantFrom(0, 1, 64 * KIB, 300 * KIB)), { maxLength: 25 }),
    readerPauses: fc.array(fc.nat(3), { minLength: 1, maxLength: 20 }),
    writerPauses: fc.array(fc.nat(3), { minLength: 1, maxLength: 20 }),
    isObedient: fc.boolean(),
    disks: fc.array(disk, { minLength: 1, maxLength: 20 }),
    leavesAfter: fc.option(fc.nat(15), { freq: 4 }),
  });
  const before = openFiles();
  let spooled = 0;
  await fc.assert(
    fc.asyncProperty(
      scenario,
      async ({ chunks, readerPauses, writerPauses, isObedient, disks, leavesAfter, ...budgets }) => {
        const all = setUp(budgets);
        let writes = 0;
        let offset = 0;
        const read: Buffer[] = [];
        const write = async () => {
          for (const [index, length] of chunks.entries()) {
            const room = new Promise<void>((resolve) => (all.onRoom = resolve));
            const goesOn = all.readAhead.push(bytesAt(offset, length));
            offset += length;
            spooled = Math.max(spooled, all.disk.used);
            if (!goesOn && isObedient) await room;
            await settle(writerPauses[index % writerPauses.length]);
          }
          all.readAhead.end();
        };
        const take = async () => {
          for (let index = 0; ; index += 1) {
            if (index === leavesAfter) {
              await all.readAhead.close();
              return;
            }
            const chunk = await all.readAhead.next();
            if (!chunk) return;
            read.push(chunk);
            await settle(readerPauses[index % readerPauses.length]);
          }
        };
        await withDisk(
          () => disks[(writes += 1) % disks.length] ?? 'good',
          async () => {
            await Promise.all([write(), take()]);
            await settle(3);
          },
        );
        const out = Buffer.concat(read);
        assert.ok(out.equals(bytesAt(0, out.length)), 'the bytes are right and in order');
        if (leavesAfter === null || read.length < leavesAfter) assert.equal(out.length, offset, 'and all there');
        await all.readAhead.close();
        while (openFiles() > before) await settle();
        assert.equal(all.memory.used, 0);
        assert.equal(all.disk.used, 0);
      },
    ),
    { numRuns: 120 },
  );
  assert.ok(spooled > 64 * KIB, 'the disk was used');
});
