// Tests of the log file on a disk that fails: lines are counted, nothing throws, and the file is used again when it can be.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { LogFile } from '../../../src/telemetry/log-file.ts';

const MAX_SIZE_BYTES = 1024 ** 2;
/** Of the system, where it has them. */
const [MOUNT, UMOUNT] = ['/bin/mount', '/bin/umount'] as const;

function tempDir(context: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'log-file-test-'));
  context.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

function open(context: TestContext, dir: string, maxSizeBytes = MAX_SIZE_BYTES): LogFile {
  const file = new LogFile({ dir, maxSizeBytes, maxFiles: 3 });
  context.after(() => file.close());
  return file;
}

function linesIn(dir: string): string[] {
  return readdirSync(dir).flatMap((name) =>
    readFileSync(join(dir, name), 'utf8')
      .split('\n')
      .filter((line) => line !== ''),
  );
}

/** Writes a line every few milliseconds until `isOver`; gives how many that were. */
async function writeUntil(file: LogFile, isOver: () => boolean, text = 'a line'): Promise<number> {
  for (let written = 1; written < 2000; written += 1) {
    file.write(`${text}\n`);
    await new Promise((resolve) => setTimeout(resolve, 5));
    if (isOver()) return written;
  }
  throw new Error('what was waited for did not come');
}

/** Files that this process has open although they were removed. */
function openRemovedFiles(dir: string): string[] {
  return readdirSync('/proc/self/fd')
    .map((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        return '';
      }
    })
    .filter((target) => target.startsWith(dir) && target.endsWith('(deleted)'));
}

test('healthy, every line is in the file and none is counted as lost', async (context) => {
  const dir = tempDir(context);
  const file = open(context, dir);
  for (let n = 0; n < 500; n += 1) file.write(`${n}\n`);
  await file.close();
  assert.equal(linesIn(dir).length, 500);
  assert.equal(file.droppedLines, 0);
});

test('rotation, while the place of the file is looked at no line is counted as lost', async (context) => {
  const dir = tempDir(context);
  const file = open(context, dir, 2000);
  const untilMs = performance.now() + 1500;
  await writeUntil(file, () => performance.now() > untilMs, 'x'.repeat(100));
  await file.close();
  assert.ok(existsSync(join(dir, 'app.log.2')), 'it rotated');
  assert.equal(file.droppedLines, 0);
});

test('folder removed, is noticed, counted, and made again', async (context) => {
  const dir = join(tempDir(context), 'logs');
  const file = open(context, dir);
  await writeUntil(file, () => existsSync(join(dir, 'app.log')));
  rmSync(dir, { recursive: true });
  const lost = await writeUntil(file, () => file.droppedLines > 0);
  assert.ok(file.droppedLines >= lost - 1, `${file.droppedLines} of ${lost} counted`);
  await writeUntil(file, () => existsSync(join(dir, 'app.log')));
  const counted = file.droppedLines;
  for (let n = 0; n < 100; n += 1) file.write('found\n');
  await file.close();
  assert.equal(linesIn(dir).filter((line) => line === 'found').length, 100);
  assert.equal(file.droppedLines, counted);
});

test('folder removed, its file is not held open', { skip: !existsSync('/proc/self/fd') }, async (context) => {
  const dir = join(tempDir(context), 'logs');
  const file = open(context, dir);
  for (let round = 0; round < 3; round += 1) {
    await writeUntil(file, () => existsSync(join(dir, 'app.log')));
    rmSync(dir, { recursive: true });
    assert.equal(openRemovedFiles(dir).length, 1, 'the check sees a file that is held open');
    await writeUntil(file, () => existsSync(join(dir, 'app.log')));
  }
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(openRemovedFiles(dir), []);
});

test('folder replaced by a file, all lines are counted until it is back', async (context) => {
  const dir = join(tempDir(context), 'logs');
  const file = open(context, dir);
  await writeUntil(file, () => existsSync(join(dir, 'app.log')));
  renameSync(dir, `${dir}.old`);
  writeFileSync(dir, 'in the way');
  await writeUntil(file, () => file.droppedLines > 0);
  const before = file.droppedLines;
  for (let n = 0; n < 50; n += 1) file.write('into nothing\n');
  assert.equal(file.droppedLines, before + 50);
  rmSync(dir);
  await writeUntil(file, () => existsSync(join(dir, 'app.log')));
});

test('disk full, lines are counted, and written again when there is room', async (context) => {
  const dir = join(tempDir(context), 'small');
  mkdirSync(dir);
  try {
    execFileSync(MOUNT, ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', dir], { stdio: 'ignore' });
  } catch {
    context.skip('needs the right to mount a small file system');
    return;
  }
  const file = new LogFile({ dir, maxSizeBytes: MAX_SIZE_BYTES, maxFiles: 3 });
  try {
    await fillAndEmpty(file, dir);
  } finally {
    await file.close();
    execFileSync(UMOUNT, ['-l', dir]);
  }
});

async function fillAndEmpty(file: LogFile, dir: string): Promise<void> {
  writeFileSync(join(dir, 'ballast'), Buffer.alloc(40_000));
  await writeUntil(file, () => file.droppedLines > 0, 'x'.repeat(2000));
  rmSync(join(dir, 'ballast'));
  const fullAt = file.droppedLines;
  await writeUntil(file, () => linesIn(dir).includes('room'), 'room');
  assert.ok(file.droppedLines >= fullAt);
  const recovered = file.droppedLines;
  for (let n = 0; n < 20; n += 1) file.write('room\n');
  await file.close();
  assert.equal(file.droppedLines, recovered);
}
