// The SQLite file as an operator meets it: who may open it, what a disk in trouble does to it, backups, tools beside the service.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { sql } from 'kysely';
import { openStore } from '../../../src/store/open-store.ts';
import { openSqliteStore } from '../../../src/store/sqlite-store.ts';
import type { Store } from '../../../src/store/store.ts';
import { StoreOpenError, StoreUnavailableError } from '../../../src/store/store-error.ts';

let folder = '';
let opened: Store[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'proxy-sqlite-'));
});

afterEach(async () => {
  for (const store of opened) await store.close();
  opened = [];
  rmSync(folder, { recursive: true, force: true });
});

async function open(path = 'proxy.db', role: 'service' | 'tool' = 'service'): Promise<Store> {
  const store = await openStore({ databaseUrl: `sqlite:${join(folder, path)}`, dataDir: folder, role });
  opened.push(store);
  return store;
}

function addKey(store: Store, id: string, text = '') {
  const row = { id, salt: text, check_value: '', is_current: 0, created_at_ms: 0 };
  return store.write((tx) => tx.insertInto('secret_keys').values(row).execute());
}

async function keyCount(store: Store): Promise<number> {
  return (await store.read((db) => db.selectFrom('secret_keys').select('id').execute())).length;
}

async function integrityOf(store: Store): Promise<string | undefined> {
  const { rows } = await store.read((db) => sql<{ integrity_check: string }>`pragma integrity_check`.execute(db));
  return rows[0]?.integrity_check;
}

function isOpenError(pattern: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof StoreOpenError, String(error));
    assert.match(error.message, pattern);
    assert.doesNotMatch(error.message, /\n/, 'one line');
    return true;
  };
}

function isUnavailable(fault: string) {
  return (error: unknown) => {
    assert.ok(error instanceof StoreUnavailableError, String(error));
    assert.equal(error.fault, fault);
    return true;
  };
}

describe('opening', () => {
  test(
    'an empty data folder, makes the file readable by its owner only',
    { skip: process.platform === 'win32' },
    async () => {
      const store = await openStore({ dataDir: join(folder, 'new', 'data') });
      opened.push(store);
      await addKey(store, 'a');
      for (const name of ['proxy.db', 'proxy.db-wal', 'proxy.db-shm'])
        assert.equal(statSync(join(folder, 'new/data', name)).mode & 0o777, 0o600, name);
    },
  );

  test('a second service on the same file, refused with one line, also through another name', async () => {
    await open();
    symlinkSync(join(folder, 'proxy.db'), join(folder, 'alias.db'));
    symlinkSync(folder, join(folder, 'here'));
    for (const path of ['proxy.db', 'alias.db', 'here/proxy.db'])
      await assert.rejects(open(path), isOpenError(/in use by another running service/), path);
  });

  test('a second process, refused until the first is killed, and then let in at once', async () => {
    const holder = spawn(
      process.execPath,
      [join(import.meta.dirname, 'holding-process.ts'), join(folder, 'proxy.db')],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    try {
      await once(holder.stdout, 'data');
      await assert.rejects(open(), isOpenError(/in use by another running service/));
    } finally {
      const gone = once(holder, 'exit');
      holder.kill('SIGKILL');
      await gone;
    }
    assert.equal(await keyCount(await open()), 1, 'what the killed one had written is there');
  });

  test('after an orderly close, opens again with nothing left beside the file but the lock', async () => {
    await (await open()).close();
    assert.deepEqual(readdirSync(folder).toSorted(), ['proxy.db', 'proxy.db.lock']);
    await open();
  });

  test('a file that is no database, refused and left as it is', async () => {
    writeFileSync(join(folder, 'proxy.db'), 'not a database, but somebody’s letters'.repeat(100));
    const before = readFileSync(join(folder, 'proxy.db'));
    await assert.rejects(open(), isOpenError(/is damaged or is no SQLite database/));
    assert.deepEqual(readFileSync(join(folder, 'proxy.db')), before);
  });

  test('a database of a newer version, refused and left as it is', async () => {
    const store = await open();
    await store.write((tx) => sql`insert into kysely_migration values ('9999-later', '2030-01-01')`.execute(tx));
    await store.close();
    await assert.rejects(open(), isOpenError(/written by a newer version/));
  });

  test('a place that cannot be written, refused with what to do', async () => {
    writeFileSync(join(folder, 'file'), '');
    await assert.rejects(open('file/proxy.db'), isOpenError(/cannot be made; mend the rights/));
  });

  test('an unknown kind of address, refused with what was expected', async () => {
    for (const databaseUrl of ['mysql://x', 'sqlite:', 'sqlite::memory:', 'proxy.db'])
      await assert.rejects(
        openStore({ databaseUrl, dataDir: folder }),
        isOpenError(/expected sqlite:PATH or postgres/),
      );
  });
});

describe('tools', () => {
  test('a tool, reads and writes beside the running service', async () => {
    const service = await open();
    const tool = await open('proxy.db', 'tool');
    await addKey(service, 'by the service');
    await addKey(tool, 'by the tool');
    assert.equal(await keyCount(tool), 2);
    assert.equal(await keyCount(service), 2);
  });

  test('a tool of a newer version, does not change the tables under a running service', async () => {
    const service = await open();
    await service.write((tx) =>
      sql`delete from kysely_migration where name = (select max(name) from kysely_migration)`.execute(tx),
    );
    await assert.rejects(open('proxy.db', 'tool'), isOpenError(/in use by another running service/));
  });

  test('a tool alone, makes the tables and keeps no service out', async () => {
    const tool = await open('proxy.db', 'tool');
    await addKey(tool, 'a');
    assert.equal(await keyCount(await open()), 1);
  });
});

describe('a disk in trouble', () => {
  /** The same error as a full disk, where no full disk is at hand. */
  async function fill(store: Store): Promise<void> {
    const limit = await store.write(async (tx) => {
      const { rows } = await sql<{ page_count: number }>`pragma page_count`.execute(tx);
      return rows[0]?.page_count ?? 0;
    });
    await store.write((tx) => sql`pragma max_page_count = ${sql.lit(limit)}`.execute(tx));
  }

  test('a full database, refuses what does not fit, whole, stores what does, and recovers', async () => {
    const store = await open();
    await fill(store);
    const results = await Promise.allSettled([
      addKey(store, 'small 1'),
      addKey(store, 'big', 'x'.repeat(100_000)),
      addKey(store, 'small 2'),
    ]);
    assert.deepEqual(
      results.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    );
    assert.ok(isUnavailable('disk_full')((results[1] as PromiseRejectedResult).reason));
    assert.equal(await keyCount(store), 2);
    await store.write((tx) => sql`pragma max_page_count = 1000000`.execute(tx));
    await addKey(store, 'big', 'x'.repeat(100_000));
    assert.equal(await keyCount(store), 3);
  });

  test('a database that can only be read, refuses writes, still reads, and recovers', async () => {
    const store = await open();
    await addKey(store, 'before');
    await store.write((tx) => sql`pragma query_only = on`.execute(tx));
    const results = await Promise.allSettled([addKey(store, 'a'), addKey(store, 'b')]);
    for (const result of results) assert.ok(isUnavailable('read_only')((result as PromiseRejectedResult).reason));
    // A read turns SQLite's switch off again.
    assert.equal(await keyCount(store), 1);
    await addKey(store, 'after');
    assert.equal(await keyCount(store), 2);
  });

  test('another program that keeps writing, makes writes fail as busy within about a second, and recovers', async () => {
    const store = await open();
    const other = new DatabaseSync(join(folder, 'proxy.db'));
    other.exec('begin immediate');
    const startMs = performance.now();
    const results = await Promise.allSettled(Array.from({ length: 50 }, (_, index) => addKey(store, `k${index}`)));
    // Once for the whole batch, not once for each: the event loop waits meanwhile.
    assert.ok(performance.now() - startMs < 10_000, 'the wait is not repeated for each write');
    for (const result of results) assert.ok(isUnavailable('busy')((result as PromiseRejectedResult).reason));
    other.exec('rollback');
    other.close();
    await addKey(store, 'after');
    assert.equal(await keyCount(store), 1);
  });

  test('a sync that fails, reported as in doubt, and nothing is reported as stored until the content is safe', async () => {
    let failures = 2;
    const path = join(folder, 'proxy.db');
    const store = await openSqliteStore({
      path,
      role: 'service',
      syncFile: (_fd, done) => {
        failures -= 1;
        setImmediate(() => done(failures >= 0 ? Object.assign(new Error('no luck'), { code: 'EIO' }) : null));
      },
    });
    opened.push(store);
    for (const id of ['first', 'second'])
      await assert.rejects(
        addKey(store, id),
        (error) => isUnavailable('io')(error) && (error as StoreUnavailableError).isInDoubt,
      );
    await addKey(store, 'third');
    // After a failed sync the log may be lost in silence; without it, the file alone must have what came before.
    const bare = join(folder, 'bare.db');
    writeFileSync(bare, readFileSync(path));
    const copy = new DatabaseSync(bare, { readOnly: true });
    const ids = copy
      .prepare('select id from secret_keys order by id')
      .all()
      .map((row) => row['id']);
    copy.close();
    assert.deepEqual(ids.slice(0, 2), ['first', 'second']);
  });

  const mount = tryMount();
  test('a really full disk, refuses, recovers by itself and keeps what it had', { skip: mount.reason }, async () => {
    const disk = join(folder, 'disk');
    mkdirSync(disk);
    assert.equal(run('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', disk]), 0);
    try {
      const store = await open('disk/proxy.db');
      await addKey(store, 'before');
      const ballast = join(disk, 'ballast');
      fillDisk(ballast);
      let refused = 0;
      for (let index = 0; index < 40; index += 1)
        await addKey(store, `k${index}`, 'x'.repeat(20_000)).catch((error: unknown) => {
          assert.ok(error instanceof StoreUnavailableError, String(error));
          refused += 1;
        });
      assert.ok(refused > 0, 'the disk was full');
      const countWhileFull = await keyCount(store);
      assert.equal(countWhileFull, 1 + 40 - refused);
      rmSync(ballast);
      await addKey(store, 'after');
      assert.equal(await keyCount(store), countWhileFull + 1);
      assert.equal(await integrityOf(store), 'ok');
      await store.close();
    } finally {
      run('umount', [disk]);
    }
  });

  test('a disk that becomes read-only, refuses, and recovers by itself', { skip: mount.reason }, async () => {
    const disk = join(folder, 'disk');
    mkdirSync(disk);
    assert.equal(run('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', disk]), 0);
    try {
      const first = await open('disk/proxy.db');
      await addKey(first, 'before');
      await first.close();
      assert.equal(run('mount', ['-o', 'remount,ro', disk]), 0);
      await assert.rejects(open('disk/proxy.db'), isOpenError(/cannot be written|can only be read/));
      assert.equal(run('mount', ['-o', 'remount,rw', disk]), 0);
      const second = await open('disk/proxy.db');
      assert.equal(await keyCount(second), 1);
      await second.close();
    } finally {
      run('umount', [disk]);
    }
  });
});

/** Gives the exit code. */
function run(command: string, args: string[]): number | null {
  return spawnSync(command, args).status;
}

/** Whether this machine lets the test have a disk of its own. */
function tryMount(): { reason: string | false } {
  if (process.platform !== 'linux' || process.getuid?.() !== 0)
    return { reason: 'needs root on Linux, to mount a small disk' };
  const place = mkdtempSync(join(tmpdir(), 'proxy-mount-'));
  const isMounted = run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', place]) === 0;
  if (isMounted) run('umount', [place]);
  rmSync(place, { recursive: true, force: true });
  return { reason: isMounted ? false : 'this machine lets nobody mount a small disk' };
}

/** Writes until nothing more fits. */
function fillDisk(path: string): void {
  assert.notEqual(run('dd', ['if=/dev/zero', `of=${path}`, 'bs=4096']), 0, 'the disk is full');
}

describe('backup', () => {
  test('a copy made while others write, whole, of one moment, and readable by its owner only', async () => {
    const store = await open();
    for (let index = 0; index < 50; index += 1) await addKey(store, `before ${index}`, 'x'.repeat(10_000));
    const over = new AbortController();
    let written = 50;
    const writer = (async () => {
      while (!over.signal.aborted) {
        await Promise.all([addKey(store, `pair ${written} a`), addKey(store, `pair ${written} b`)]);
        written += 2;
      }
    })();
    const target = join(folder, 'backups', 'copy.db');
    await store.backup(target);
    over.abort();
    await writer;
    assert.equal(existsSync(`${target}.partial`), false);
    if (process.platform !== 'win32') assert.equal(statSync(target).mode & 0o777, 0o600);
    const copy = await open('backups/copy.db');
    assert.equal(await integrityOf(copy), 'ok');
    const count = await keyCount(copy);
    assert.ok(count >= 50 && count <= written, `${count} rows`);
  });

  test('a place that cannot be written, says so, leaves nothing behind, and the store works on', async () => {
    const store = await open();
    mkdirSync(join(folder, 'taken'));
    await assert.rejects(store.backup(join(folder, 'taken')), /could not be written/);
    assert.equal(existsSync(join(folder, 'taken.partial')), false);
    await addKey(store, 'a');
  });

  test('an older backup of the same name, replaced only by a complete new one', async () => {
    const store = await open();
    const target = join(folder, 'copy.db');
    await addKey(store, 'a');
    await store.backup(target);
    await addKey(store, 'b');
    await store.backup(target);
    assert.equal(await keyCount(await open('copy.db')), 2);
  });
});

test('rights of the folder, not loosened by opening', { skip: process.platform === 'win32' }, async () => {
  chmodSync(folder, 0o700);
  await open();
  assert.equal(statSync(folder).mode & 0o777, 0o700);
});
