// Tests of the log: lines whole, files rotated and bounded, secrets hidden, and no fault of the disk reaching the service.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { registerSecret } from '../../../src/telemetry/hide-secrets.ts';
import { openLog, type LogOptions } from '../../../src/telemetry/log.ts';

function tempDir(context: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'log-test-'));
  context.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

function open(dir: string, options: Partial<LogOptions> = {}) {
  return openLog({
    level: 'info',
    dir,
    maxSizeBytes: 1024 ** 2,
    maxFiles: 3,
    isTerminal: false,
    hasConsole: false,
    ...options,
  });
}

function linesOf(path: string): { msg: string; n?: number; level: number; time: string }[] {
  const text = readFileSync(path, 'utf8');
  assert.ok(text === '' || text.endsWith('\n'), 'the last line is whole');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as { msg: string; n?: number; level: number; time: string });
}

test('log, lines of the level and above are in app.log after close, as JSON with an ISO time', async (context) => {
  const dir = tempDir(context);
  const handle = await open(dir);
  handle.log.debug('too fine');
  handle.log.info({ n: 1 }, 'kept');
  handle.log.error({ err: new Error('made up') }, 'kept too');
  await handle.close();
  const lines = linesOf(join(dir, 'app.log'));
  assert.deepEqual(
    lines.map(({ msg }) => msg),
    ['kept', 'kept too'],
  );
  assert.match(lines[0]!.time, /^\d{4}-\d\d-\d\dT/);
});

test('log, a secret does not reach the file, whoever logs it and however deep', async (context) => {
  const dir = tempDir(context);
  registerSecret('made-up-password');
  const handle = await open(dir);
  const cause = new Error('login of made-up-password refused');
  handle.log
    .child({ deep: { password: 'made-up-password' } })
    .warn({ err: new Error('outer', { cause }) }, 'made-up-password');
  await handle.close();
  const text = readFileSync(join(dir, 'app.log'), 'utf8');
  assert.ok(text.includes('[hidden]') && !text.includes('made-up-password'), text);
});

test('log, rotation loses no line among the kept files, tears none, and keeps no more files than asked', async (context) => {
  const dir = tempDir(context);
  const handle = await open(dir, { maxSizeBytes: 20_000, maxFiles: 3 });
  const total = 3000;
  for (let n = 1; n <= total; n += 1) {
    handle.log.info({ n }, 'a line');
    if (n % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await handle.close();
  const files = readdirSync(dir).toSorted();
  assert.deepEqual(files, ['app.log', 'app.log.1', 'app.log.2', 'app.log.3']);
  // Oldest first: app.log.1 is the youngest of the rotated ones.
  const numbers = ['app.log.3', 'app.log.2', 'app.log.1', 'app.log'].flatMap((file) =>
    linesOf(join(dir, file)).map(({ n }) => n),
  );
  assert.ok(numbers.length > 200 && numbers.length < total, `${numbers.length} lines kept`);
  assert.deepEqual(
    numbers,
    Array.from({ length: numbers.length }, (_, index) => total - numbers.length + 1 + index),
  );
});

test('log, a restart goes on in the same file, and on with the rotation', async (context) => {
  const dir = tempDir(context);
  for (let run = 1; run <= 3; run += 1) {
    const handle = await open(dir);
    handle.log.info({ n: run }, 'run');
    await handle.close();
  }
  assert.deepEqual(
    linesOf(join(dir, 'app.log')).map(({ n }) => n),
    [1, 2, 3],
  );
});

test('log, a folder that cannot be made is one clear sentence at the start', async (context) => {
  const path = join(tempDir(context), 'a-file');
  writeFileSync(path, '');
  await assert.rejects(open(join(path, 'logs')), /^Error: The log folder .+ cannot be written; mend its rights or set/);
});

test('log, a folder that vanishes while it runs throws nothing, and close still ends', async (context) => {
  const dir = join(tempDir(context), 'logs');
  const handle = await open(dir, { maxSizeBytes: 2000 });
  handle.log.info('before');
  await new Promise((resolve) => setTimeout(resolve, 20));
  rmSync(dir, { recursive: true });
  for (let n = 0; n < 200; n += 1) {
    handle.log.info({ n }, 'into nothing');
    if (n % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await handle.close();
});

test('log, when the folder is back new lines are written again', async (context) => {
  const dir = join(tempDir(context), 'logs');
  const handle = await open(dir, { maxSizeBytes: 500 });
  handle.log.info('before');
  await new Promise((resolve) => setTimeout(resolve, 20));
  rmSync(dir, { recursive: true });
  for (let n = 0; n < 100; n += 1) {
    handle.log.info({ n }, 'lost');
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  mkdirSync(dir, { recursive: true });
  for (let n = 0; n < 100; n += 1) {
    handle.log.info({ n }, 'found');
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await handle.close();
  const found = readdirSync(dir).flatMap((file) => linesOf(join(dir, file)));
  assert.ok(found.some(({ msg }) => msg === 'found'));
});

test('log, without a folder and console it still takes lines and closes', async () => {
  const handle = await openLog({
    level: 'info',
    maxSizeBytes: 1000,
    maxFiles: 1,
    isTerminal: false,
    hasConsole: false,
  });
  handle.log.info('nowhere');
  await handle.close();
});

test('log, closing twice ends both times', async (context) => {
  const handle = await open(tempDir(context));
  handle.log.info('x');
  await Promise.all([handle.close(), handle.close()]);
  await handle.close();
});
