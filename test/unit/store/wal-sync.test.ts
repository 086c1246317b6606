// The sync that several callers share: it counts only for those whose work was committed before it began.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { WalSync } from '../../../src/store/wal-sync.ts';

type Done = (error: Error | null) => void;

let folder = '';
let syncs: Done[] = [];
let checkpoints = 0;
let walSync: WalSync;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'proxy-wal-'));
  writeFileSync(join(folder, 'x.db-wal'), '');
  syncs = [];
  checkpoints = 0;
  walSync = new WalSync({
    databasePath: join(folder, 'x.db'),
    checkpoint: () => {
      checkpoints += 1;
    },
    syncFile: (_fd, done) => syncs.push(done),
  });
});

afterEach(() => {
  walSync.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Lets everything that only waits for promises go on. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

function flush(): { isDone: boolean; hasFailed: boolean } {
  const state = { isDone: false, hasFailed: false };
  walSync.flush().then(
    () => {
      state.isDone = true;
    },
    () => {
      state.hasFailed = true;
    },
  );
  return state;
}

test('callers while a sync is under way, wait for the next one, which they share', async () => {
  const first = flush();
  await settle();
  const second = flush();
  const third = flush();
  await settle();
  assert.equal(syncs.length, 1, 'one at a time');
  syncs[0]?.(null);
  await settle();
  assert.deepEqual([first.isDone, second.isDone, third.isDone], [true, false, false]);
  assert.equal(syncs.length, 2);
  syncs[1]?.(null);
  await settle();
  assert.deepEqual([second.isDone, third.isDone], [true, true]);
  const later = flush();
  await settle();
  assert.equal(syncs.length, 3, 'what comes later needs a sync of its own');
  syncs[2]?.(null);
  await settle();
  assert.equal(later.isDone, true);
});

test('a failed sync, fails those who waited for it, and the next one checkpoints first', async () => {
  const first = flush();
  await settle();
  const second = flush();
  syncs[0]?.(new Error('no luck'));
  await settle();
  assert.deepEqual([first.hasFailed, second.hasFailed], [true, false]);
  assert.equal(checkpoints, 1);
  syncs[1]?.(null);
  await settle();
  assert.equal(second.isDone, true);
  flush();
  await settle();
  assert.equal(checkpoints, 1, 'only once');
  syncs[2]?.(null);
  await settle();
});
