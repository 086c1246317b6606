// Runs one suite on both databases.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe } from 'node:test';
import { openStore } from '../../src/store/open-store.ts';
import { openSqliteStore } from '../../src/store/sqlite-store.ts';
import type { Store } from '../../src/store/store.ts';
import type { SyncFile } from '../../src/store/wal-sync.ts';
import { reasonForNoPostgres, startPostgres, type PostgresServer } from './postgres-server.ts';

export interface Database {
  readonly engine: 'sqlite' | 'postgres';
  /**
   * Opens an empty database, closed again after the suite. `waitsForDisk` false leaves out SQLite's wait for the disk, for suites
   * that write a great deal and are not about it.
   */
  openEmpty(options?: { waitsForDisk?: boolean }): Promise<OpenDatabase>;
}

export interface OpenDatabase {
  store: Store;
  /** Opens it once more: after a close, or on PostgreSQL beside the first. */
  open: () => Promise<Store>;
}

/** Declares the suite once for each engine; PostgreSQL is skipped, with the reason, where there is none. */
export function onBothEngines(name: string, suite: (database: Database) => void): void {
  describe(`${name}, SQLite`, () => {
    const folder = mkdtempSync(join(tmpdir(), 'proxy-store-'));
    const opened: Store[] = [];
    let count = 0;
    after(async () => {
      for (const store of opened) await store.close();
      rmSync(folder, { recursive: true, force: true });
    });
    suite({
      engine: 'sqlite',
      openEmpty({ waitsForDisk = true } = {}) {
        count += 1;
        const path = join(folder, `${count}.db`);
        const syncFile: SyncFile | undefined = waitsForDisk ? undefined : (_fd, done) => setImmediate(done, null);
        return openWith(() => openSqliteStore({ path, role: 'service', syncFile }), opened);
      },
    });
  });

  const reason = reasonForNoPostgres();
  describe(`${name}, PostgreSQL`, { skip: reason ?? false }, () => {
    const opened: Store[] = [];
    let server: PostgresServer | undefined;
    before(async () => {
      server = await startPostgres();
    });
    after(async () => {
      for (const store of opened) await store.close();
      await server?.stop();
    });
    suite({
      engine: 'postgres',
      async openEmpty() {
        const databaseUrl = (await server?.newDatabase()) ?? '';
        return openWith(() => openStore({ databaseUrl, dataDir: '/nowhere' }), opened);
      },
    });
  });
}

async function openWith(openOnce: () => Promise<Store>, opened: Store[]): Promise<OpenDatabase> {
  const open = async () => {
    const store = await openOnce();
    opened.push(store);
    return store;
  };
  return { store: await open(), open };
}
