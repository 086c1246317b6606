// Files are watched by name: written, replaced, removed, made anew, behind a link; and never read while they are being written.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { FileWatch } from '../../../src/cli/watch-files.ts';
import { until } from '../../support/until.ts';

const POLL_MS = 20;
const SETTLE_MS = 60;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function watchIn(context: TestContext, settleMs = SETTLE_MS) {
  const dir = mkdtempSync(join(tmpdir(), 'watch-'));
  const seen = { dir, file: join(dir, '.env'), changes: 0, watch: undefined as unknown as FileWatch };
  seen.watch = new FileWatch(() => (seen.changes += 1), { pollMs: POLL_MS, settleMs });
  context.after(() => {
    seen.watch.close();
    rmSync(dir, { recursive: true });
  });
  return seen;
}

test('watch, every way to change a file is seen once', async (context) => {
  const seen = watchIn(context);
  seen.watch.watch([seen.file]);
  await pause(SETTLE_MS + 2 * POLL_MS);
  assert.equal(seen.changes, 0, 'not there is no change');
  const ways: Record<string, () => void> = {
    made: () => writeFileSync(seen.file, 'A=1'),
    written: () => writeFileSync(seen.file, 'A=2'),
    'replaced by another file, as editors do': () => {
      writeFileSync(`${seen.file}.new`, 'A=3');
      renameSync(`${seen.file}.new`, seen.file);
    },
    removed: () => rmSync(seen.file),
    'replaced by a link': () => {
      mkdirSync(join(seen.dir, 'v1'));
      writeFileSync(join(seen.dir, 'v1', 'env'), 'A=4');
      symlinkSync(join(seen.dir, 'v1'), join(seen.dir, 'current'));
      symlinkSync(join(seen.dir, 'current', 'env'), seen.file);
    },
    'behind a link that is turned elsewhere, as deployments do': () => {
      mkdirSync(join(seen.dir, 'v2'));
      writeFileSync(join(seen.dir, 'v2', 'env'), 'A=5');
      symlinkSync(join(seen.dir, 'v2'), join(seen.dir, 'next'));
      renameSync(join(seen.dir, 'next'), join(seen.dir, 'current'));
    },
  };
  for (const [index, [way, change]] of Object.entries(ways).entries()) {
    change();
    await until(() => seen.changes === index + 1).catch(() => assert.fail(way));
    await pause(SETTLE_MS + 2 * POLL_MS);
    assert.equal(seen.changes, index + 1, way);
  }
});

test('watch, a file that is being written is waited for', async (context) => {
  const seen = watchIn(context, 20 * POLL_MS);
  writeFileSync(seen.file, '');
  seen.watch.watch([seen.file]);
  await pause(2 * POLL_MS);
  for (let part = 1; part <= 10; part += 1) {
    writeFileSync(seen.file, 'A'.repeat(part));
    await pause(POLL_MS);
    assert.equal(seen.changes, 0, 'not while it is being written');
  }
  await until(() => seen.changes === 1);
});

test('watch, other files from now on: the old ones are of no interest any more', async (context) => {
  const seen = watchIn(context);
  const other = join(seen.dir, 'accounts.json');
  seen.watch.watch([seen.file]);
  seen.watch.watch([other]);
  await pause(2 * POLL_MS);
  writeFileSync(seen.file, 'A=1');
  await pause(SETTLE_MS + 3 * POLL_MS);
  assert.equal(seen.changes, 0);
  writeFileSync(other, '[]');
  await until(() => seen.changes === 1);
});
