// Checks the ZIP writer against another implementation and the captured sizes, and the reader against everything broken.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { unzipSync, zipSync } from 'fflate';
import { readZip, writeStoredZip, writeStreamedZip, ZipError } from '../../../src/novelai/zip.ts';

const NOISE = randomBytes(5000);

async function streamed(...names: string[]): Promise<Buffer> {
  return Buffer.concat(await writeStreamedZip(names.map((name) => ({ name, bytes: NOISE }))));
}

test('writeStreamedZip, has the overhead of the captured answers: 136 and 138 bytes', async () => {
  for (const [name, overheadBytes] of [
    ['image_0.png', 136],
    ['image_0.webp', 138],
  ] as const) {
    const zip = await streamed(name);
    const packedBytes = zip.readUInt32LE(zip.length - 22 - 46 - name.length + 20);
    assert.equal(zip.length - packedBytes, overheadBytes);
  }
});

test('writeStreamedZip, leaves the local sizes zero and sets flag bit 3 and method 8', async () => {
  const zip = await streamed('image_0.png');
  assert.equal(zip.readUInt16LE(6) & 8, 8);
  assert.equal(zip.readUInt16LE(8), 8);
  assert.deepEqual([zip.readUInt32LE(14), zip.readUInt32LE(18), zip.readUInt32LE(22)], [0, 0, 0]);
});

test('writeStoredZip, has the overhead of the captured three-picture answer: 316 bytes', () => {
  const entries = [0, 1, 2].map((index) => ({ name: `image_${index}.png`, bytes: NOISE }));
  const zip = writeStoredZip(entries);
  assert.equal(zip.length - 3 * NOISE.length, 316);
  assert.equal(zip.readUInt16LE(6), 0);
  assert.equal(zip.readUInt16LE(8), 0);
});

test('both writers, are read by fflate and by readZip with equal bytes', async () => {
  const entries = [
    { name: 'image_0.png', bytes: NOISE },
    { name: 'bild-ü.png', bytes: Buffer.alloc(0) },
    { name: 'image_1.png', bytes: Buffer.alloc(9000, 7) },
  ];
  for (const zip of [Buffer.concat(await writeStreamedZip(entries)), writeStoredZip(entries)]) {
    const other = unzipSync(zip);
    assert.deepEqual(
      Object.entries(other).map(([name, bytes]) => ({ name, bytes: Buffer.from(bytes) })),
      entries,
    );
    assert.deepEqual(await readZip(zip), entries);
  }
});

test('both writers, pass the check of Python’s zipfile', async (t) => {
  const script = `import sys,io,zipfile
z=zipfile.ZipFile(io.BytesIO(sys.stdin.buffer.read()))
assert z.testzip() is None
print(','.join(f"{i.filename}:{i.compress_type}:{i.flag_bits}:{i.file_size}" for i in z.infolist()))`;
  for (const [zip, expected] of [
    [await streamed('image_0.png', 'image_1.png'), 'image_0.png:8:8:5000,image_1.png:8:8:5000'],
    [writeStoredZip([{ name: 'image_0.png', bytes: NOISE }]), 'image_0.png:0:0:5000'],
  ] as const) {
    const run = spawnSync('python3', ['-c', script], { input: zip });
    if (run.error) return t.skip('python3 is not installed');
    assert.equal(run.stdout.toString().trim(), expected, run.stderr.toString());
  }
});

test('readZip, reads what fflate wrote, and a ZIP behind other bytes', async () => {
  const zip = Buffer.from(zipSync({ 'a.png': NOISE, 'b.txt': Buffer.from('hello') }));
  assert.deepEqual(
    (await readZip(zip)).map(({ name }) => name),
    ['a.png', 'b.txt'],
  );
  const behind = Buffer.concat([Buffer.from('{"statusCode":400}\n'), zip]);
  assert.deepEqual((await readZip(behind))[0]?.bytes, NOISE);
});

test('readZip, refuses more entries, more bytes and a tighter packing than allowed', async () => {
  const limits = { maxEntries: 2, maxInflatedBytes: 10_000, maxRatio: 100 };
  const over = (zip: Buffer) =>
    assert.rejects(readZip(zip, limits), (error: unknown) => error instanceof ZipError && error.code === 'over-limit');
  await over(await streamed('a', 'b', 'c'));
  await over(writeStoredZip([{ name: 'a', bytes: Buffer.alloc(10_001) }]));
  await over(Buffer.concat(await writeStreamedZip([{ name: 'a', bytes: Buffer.alloc(9_999) }], 9)));
  assert.equal((await readZip(await streamed('a', 'b'), limits)).length, 2);
});

test('readZip, does not believe a bomb that announces a small size', async () => {
  const zip = Buffer.concat(await writeStreamedZip([{ name: 'a', bytes: Buffer.alloc(50_000_000) }]));
  const directory = zip.readUInt32LE(zip.length - 6);
  zip.writeUInt32LE(1000, directory + 24);
  await assert.rejects(readZip(zip), { name: 'ZipError', code: 'damaged', message: /could not be unpacked/ });
});

test('readZip, refuses encrypted, ZIP64 and unknown methods as unsupported', async () => {
  for (const spoil of [
    (zip: Buffer, directory: number) => zip.writeUInt16LE(9, directory + 8),
    (zip: Buffer, directory: number) => zip.writeUInt16LE(12, directory + 10),
    (zip: Buffer) => zip.writeUInt16LE(0xffff, zip.length - 12),
  ]) {
    const zip = await streamed('a');
    spoil(zip, zip.readUInt32LE(zip.length - 6));
    await assert.rejects(readZip(zip), { name: 'ZipError', code: 'unsupported' });
  }
});

test('readZip, throws only ZipError for cut, flipped and random bytes, and never gives wrong bytes', async () => {
  const zip = await streamed('image_0.png');
  let refused = 0;
  const tryRead = async (bytes: Buffer) => {
    try {
      for (const entry of await readZip(bytes)) assert.deepEqual(entry.bytes, NOISE);
    } catch (error) {
      assert.ok(error instanceof ZipError, String(error));
      refused++;
    }
  };
  for (let length = 0; length < zip.length; length += 37) await tryRead(zip.subarray(0, length));
  await fc.assert(
    fc.asyncProperty(fc.nat(zip.length - 1), fc.integer({ min: 1, max: 255 }), async (at, mask) => {
      const copy = Buffer.from(zip);
      copy[at] = (copy[at] as number) ^ mask;
      await tryRead(copy);
    }),
  );
  await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), (bytes) => tryRead(Buffer.from(bytes))));
  assert.ok(refused > 200, `${refused} refused`);
});
