// Files of the moment: nothing in the folder, every byte in its place, and an end to a disk that takes no more.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openNamelessFile, writeWhole } from '../../../src/lib/nameless-file.ts';

const root = mkdtempSync(join(tmpdir(), 'nameless-'));
after(() => rmSync(root, { recursive: true, force: true }));

test('nameless file, made in a folder that was missing, leaves no name and keeps its bytes', async () => {
  const dir = join(root, 'deep', 'spool');
  await using file = await openNamelessFile(dir);
  assert.deepEqual(readdirSync(dir), []);
  await writeWhole(file, Buffer.from('world'), 6);
  await writeWhole(file, Buffer.from('hello '), 0);
  const { bytesRead, buffer } = await file.read(Buffer.alloc(20), 0, 20, 0);
  assert.equal(buffer.toString('utf8', 0, bytesRead), 'hello world');
});

/** A disk that takes `most` bytes at a time, and nothing once `room` is used up. */
function narrowDisk(most: number, room: number) {
  const writes: [text: string, position: number | null][] = [];
  let left = room;
  const write = async (bytes: Buffer, offset: number, length: number, position: number | null) => {
    const bytesWritten = Math.min(most, length, left);
    left -= bytesWritten;
    writes.push([bytes.toString('utf8', offset, offset + bytesWritten), position]);
    return { bytesWritten, buffer: bytes };
  };
  return { writes, file: { write } as unknown as FileHandle };
}

test('whole write, in parts where the disk takes no more at once, each in its place', async () => {
  const placed = narrowDisk(4, 100);
  await writeWhole(placed.file, Buffer.from('0123456789'), 50);
  assert.deepEqual(placed.writes, [
    ['0123', 50],
    ['4567', 54],
    ['89', 58],
  ]);
  const onward = narrowDisk(7, 100);
  await writeWhole(onward.file, Buffer.from('0123456789'));
  assert.deepEqual(onward.writes, [
    ['0123456', null],
    ['789', null],
  ]);
});

test('whole write, a disk that takes nothing more ends it instead of being asked for ever', async () => {
  await assert.rejects(writeWhole(narrowDisk(4, 6).file, Buffer.from('0123456789')), /takes nothing more/);
});
