// Tests the copies of passing answers, and the files they may become.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { AnswerFiles } from '../../../src/bank/answer-files.ts';
import { AnswerTee } from '../../../src/bank/answer-tee.ts';
import { Budget } from '../../../src/lib/budget.ts';
import { bytesIn } from '../../store/bank-fixture.ts';

async function newFiles(t: TestContext, limitBytes = 1e9): Promise<{ dir: string; files: AnswerFiles }> {
  const dir = await mkdtemp(join(tmpdir(), 'proxy-tee-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return { dir, files: await AnswerFiles.open({ dir, limitBytes, evictOne: async () => false }) };
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

for (const [how, memoryBytes] of [
  ['from memory', 1e9],
  ['through a file', 0],
  ['memory first and then a file', 150_000],
] as const)
  test(`answer tee, ${how}: the very bytes, under the name of their hash`, async (t) => {
    const { dir, files } = await newFiles(t);
    const memory = new Budget(memoryBytes);
    const tee = new AnswerTee({ files, memory, limitBytes: 1e9 });
    const chunks = Array.from({ length: 40 }, (_, index) => Buffer.alloc(10_000 + index, index));
    for (const [index, chunk] of chunks.entries()) {
      tee.write(chunk);
      if (index % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    const whole = Buffer.concat(chunks);
    assert.deepEqual(await tee.keep(), { isKept: true, contentHash: sha256(whole), sizeBytes: whole.length });
    assert.ok((await buffer(files.read(sha256(whole)))).equals(whole));
    assert.equal(files.usedBytes, whole.length);
    assert.equal(await bytesIn(dir), whole.length);
    assert.equal(memory.used, 0);
  });

test('answer tee, an empty answer is one too', async (t) => {
  const { files } = await newFiles(t);
  const kept = await new AnswerTee({ files, memory: new Budget(10), limitBytes: 10 }).keep();
  assert.deepEqual(kept, { isKept: true, contentHash: sha256(Buffer.alloc(0)), sizeBytes: 0 });
});

test('answer tee, dropped: memory and disk are free again, even in the middle of writing', async (t) => {
  const { dir, files } = await newFiles(t);
  const memory = new Budget(1000);
  for (const chunkBytes of [500, 5000]) {
    const tee = new AnswerTee({ files, memory, limitBytes: 1e9 });
    tee.write(Buffer.alloc(chunkBytes));
    tee.write(Buffer.alloc(chunkBytes));
    const dropped = tee.discard();
    tee.write(Buffer.alloc(chunkBytes));
    await dropped;
    assert.deepEqual([memory.used, files.usedBytes, await bytesIn(dir)], [0, 0, 0]);
  }
});

test('answer tee, a disk that does not keep up: the copy is given up, the answer is not held up', async (t) => {
  const { dir, files } = await newFiles(t);
  const memory = new Budget(0);
  const tee = new AnswerTee({ files, memory, limitBytes: 1e9 });
  const chunk = Buffer.alloc(1024 * 1024);
  // All in one turn of the loop: no disk can have taken any of it.
  for (let index = 0; index < 50; index += 1) tee.write(chunk);
  assert.deepEqual(await tee.keep(), { isKept: false, why: 'the disk is too slow' });
  assert.deepEqual([files.usedBytes, await bytesIn(dir)], [0, 0]);
});

test('answer tee, a folder that cannot be written: not kept, and nothing thrown', async (t) => {
  const { dir, files } = await newFiles(t);
  await rm(join(dir, 'partial'), { recursive: true });
  const memory = new Budget(100);
  for (const sizeBytes of [50, 500]) {
    const tee = new AnswerTee({ files, memory, limitBytes: 1e9 });
    tee.write(Buffer.alloc(sizeBytes));
    assert.deepEqual(await tee.keep(), { isKept: false, why: 'its file could not be written (ENOENT)' });
  }
  assert.deepEqual([memory.used, files.usedBytes], [0, 0]);
});

test('answer files, a start removes what was left half-written or belongs to nobody, and nothing foreign', async (t) => {
  const { dir, files } = await newFiles(t);
  const tee = new AnswerTee({ files, memory: new Budget(100), limitBytes: 100 });
  tee.write(Buffer.from('kept'));
  const kept = await tee.keep();
  assert.ok(kept.isKept);
  const orphan = 'a'.repeat(64);
  await mkdir(join(dir, 'aa'), { recursive: true });
  await writeFile(join(dir, 'aa', orphan), 'nobody knows me');
  await writeFile(join(dir, 'partial', 'half'), 'half');
  await writeFile(join(dir, 'README'), 'of the operator');
  const again = await AnswerFiles.open({ dir, limitBytes: 1e9, evictOne: async () => false });
  assert.equal(again.adopt(kept.contentHash, 4), true);
  assert.equal(again.adopt(kept.contentHash, 5), false, 'a file of another size is no such file');
  assert.equal(again.adopt('b'.repeat(64), 4), false);
  await again.tidy();
  assert.equal(again.usedBytes, 4);
  assert.equal(await bytesIn(dir), 4 + 'of the operator'.length);
});

test('answer files, only the owner may read them', { skip: process.platform === 'win32' }, async (t) => {
  const { dir, files } = await newFiles(t);
  await chmod(dir, 0o755);
  const tee = new AnswerTee({ files, memory: new Budget(100), limitBytes: 100 });
  tee.write(Buffer.from('private picture'));
  const kept = await tee.keep();
  assert.ok(kept.isKept);
  const folder = join(dir, kept.contentHash.slice(0, 2));
  assert.equal((await stat(folder)).mode & 0o077, 0);
  assert.equal((await stat(join(folder, kept.contentHash))).mode & 0o077, 0);
});
