// What only a database server can do to us: be away, or cut a connection in the middle.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { sql } from 'kysely';
import { openStore } from '../../src/store/open-store.ts';
import type { Queries, Store } from '../../src/store/store.ts';
import { StoreOpenError, StoreUnavailableError } from '../../src/store/store-error.ts';
import { reasonForNoPostgres, startPostgres, type PostgresServer } from './postgres-server.ts';

const reason = reasonForNoPostgres();

describe('PostgreSQL', { skip: reason ?? false }, () => {
  let server: PostgresServer | undefined;
  let databaseUrl = '';
  const opened: Store[] = [];

  async function open(): Promise<Store> {
    const store = await openStore({ databaseUrl, dataDir: '/nowhere' });
    opened.push(store);
    return store;
  }

  before(async () => {
    server = await startPostgres();
    databaseUrl = await server.newDatabase();
  });

  after(async () => {
    for (const store of opened) await store.close();
    await server?.stop();
  });

  function addKey(tx: Queries, id: string) {
    const row = { id, salt: '', check_value: '', is_current: 0, created_at_ms: 0 };
    return tx.insertInto('secret_keys').values(row).execute();
  }

  async function keyIds(store: Store): Promise<string[]> {
    return (await store.read((db) => db.selectFrom('secret_keys').select('id').orderBy('id').execute())).map(
      ({ id }) => id,
    );
  }

  /** As a restart of the server does to everybody. */
  function cutOthers(store: Store) {
    return store.write((tx) =>
      sql`select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()`.execute(tx),
    );
  }

  test('a connection cut in the middle of a write, leaves nothing of it, and the next write works', async () => {
    const [store, killer] = [await open(), await open()];
    const cut = store.write(async (tx) => {
      await addKey(tx, 'half');
      await cutOthers(killer);
      await addKey(tx, 'other half');
    });
    await assert.rejects(cut, (error) => error instanceof StoreUnavailableError && error.fault === 'connection');
    assert.deepEqual(await keyIds(store), []);
    await store.write((tx) => addKey(tx, 'whole'));
    assert.deepEqual(await keyIds(store), ['whole']);
  });

  test('connections cut while nobody uses them, are replaced without a word', async () => {
    const [store, killer] = [await open(), await open()];
    await Promise.all([1, 2, 3].map(() => keyIds(store)));
    await cutOthers(killer);
    // Until the news has arrived, a query may still meet a dead connection.
    await new Promise((resolve) => setTimeout(resolve, 100));
    await store.write((tx) => addKey(tx, 'after'));
    assert.ok((await keyIds(store)).includes('after'));
  });

  test('a connection cut at the commit, is reported as in doubt', async () => {
    const [store, killer] = [await open(), await open()];
    const cut = store.write(async (tx) => {
      await addKey(tx, 'doubtful');
      await cutOthers(killer);
      await new Promise((resolve) => setTimeout(resolve, 100));
    });
    await assert.rejects(cut, (error) => error instanceof StoreUnavailableError && error.isInDoubt);
  });

  test('transactions that wait for each other, are run again until both are done', async () => {
    const store = await open();
    await store.write(async (tx) => {
      await addKey(tx, 'x');
      await addKey(tx, 'y');
    });
    let tries = 0;
    const update = (first: string, second: string) =>
      store.write(async (tx) => {
        tries += 1;
        for (const id of [first, second]) {
          await tx
            .updateTable('secret_keys')
            .set((row) => ({ created_at_ms: row('created_at_ms', '+', 1) }))
            .where('id', '=', id)
            .execute();
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      });
    await Promise.all([update('x', 'y'), update('y', 'x')]);
    assert.ok(tries > 2, 'they did meet');
    const rows = await store.read((db) =>
      db.selectFrom('secret_keys').selectAll().where('id', 'in', ['x', 'y']).execute(),
    );
    assert.deepEqual(
      rows.map(({ created_at_ms }) => created_at_ms),
      [2, 2],
    );
  });

  test('a server that is not there, or does not let us in, named without the password', async () => {
    const url = new URL(databaseUrl);
    url.pathname = '/no_such_database';
    url.password = 'a-password';
    for (const bad of [url.href, 'postgres://someone:a-password@127.0.0.1:1/x'])
      await assert.rejects(openStore({ databaseUrl: bad, dataDir: '/nowhere' }), (error) => {
        assert.ok(error instanceof StoreOpenError, String(error));
        assert.match(error.message, /^The PostgreSQL server .* cannot be used: /);
        assert.doesNotMatch(error.message, /a-password|\n/);
        return true;
      });
  });

  test('a backup, refused with the name of the server’s own tool', async () => {
    await assert.rejects((await open()).backup('/nowhere/copy'), /pg_dump/);
  });
});
