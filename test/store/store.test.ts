// What every database must do for the rooms above it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deleteExpired } from '../../src/store/retention.ts';
import { openSecretBox } from '../../src/store/secret-box.ts';
import type { Queries, Store } from '../../src/store/store.ts';
import { StoreUnavailableError } from '../../src/store/store-error.ts';
import { prepareQuery, prepareRowsQuery } from '../../src/store/prepared-query.ts';
import { onBothEngines } from './engines.ts';

const KEY_ROW = { salt: 's', check_value: 'c', is_current: 0, created_at_ms: 0 };

function addKey(tx: Queries, id: string, createdAtMs = 0) {
  return tx
    .insertInto('secret_keys')
    .values({ ...KEY_ROW, id, created_at_ms: createdAtMs })
    .execute();
}

async function keyIds(store: Store): Promise<string[]> {
  const rows = await store.read((db) => db.selectFrom('secret_keys').select('id').orderBy('id').execute());
  return rows.map(({ id }) => id);
}

onBothEngines('store', (database) => {
  test('a write, all of it or nothing', async () => {
    const { store } = await database.openEmpty();
    const broken = store.write(async (tx) => {
      await addKey(tx, 'half');
      throw new Error('second half');
    });
    await assert.rejects(broken, /second half/);
    assert.deepEqual(await keyIds(store), []);
    assert.equal(await store.write(async (tx) => (await addKey(tx, 'whole'), 'value')), 'value');
    assert.deepEqual(await keyIds(store), ['whole']);
  });

  test('many writes at once, one that fails does not touch the others', async () => {
    const { store } = await database.openEmpty();
    const writes = Array.from({ length: 60 }, (_, index) =>
      store.write(async (tx) => {
        await addKey(tx, `k${index}`);
        if (index % 3 === 0) throw new Error('on purpose');
        // A statement that the database itself refuses.
        if (index % 3 === 1) await addKey(tx, `k${index}`);
        return index;
      }),
    );
    const results = await Promise.allSettled(writes);
    for (const [index, result] of results.entries()) {
      assert.equal(result.status, index % 3 === 2 ? 'fulfilled' : 'rejected', `write ${index}`);
      if (index % 3 === 1)
        assert.ok(!(result as PromiseRejectedResult).reason.isInDoubt, 'a fault of the statement itself');
    }
    assert.equal((await keyIds(store)).length, 20);
  });

  test('a refused statement, not taken for an unavailable database', async () => {
    const { store } = await database.openEmpty();
    await store.write((tx) => addKey(tx, 'twin'));
    await assert.rejects(
      store.write((tx) => addKey(tx, 'twin')),
      (error) => !(error instanceof StoreUnavailableError),
    );
  });

  test('what was written, there after closing and opening', async () => {
    const { store, open } = await database.openEmpty();
    await store.write((tx) => addKey(tx, 'kept'));
    await store.write((tx) => addKey(tx, 'kept too'), { isDurable: false });
    await store.close();
    assert.deepEqual(await keyIds(await open()), ['kept', 'kept too']);
  });

  test('urgent writes among others, each stored once, and one that throws takes nothing with it', async () => {
    const { store } = await database.openEmpty();
    const writes = Array.from({ length: 60 }, (_, index) =>
      store.write((tx) => addKey(tx, `k${index}`), { isUrgent: index % 2 === 0, isDurable: index % 3 === 0 }),
    );
    const failing = store.write(
      async (tx) => {
        await addKey(tx, 'undone');
        throw new Error('made to fail');
      },
      { isUrgent: true },
    );
    await assert.rejects(failing, /made to fail/);
    await Promise.all(writes);
    assert.deepEqual(new Set(await keyIds(store)), new Set(Array.from({ length: 60 }, (_, index) => `k${index}`)));
  });

  test('closing, finishes what was begun and refuses what comes after', async () => {
    const { store, open } = await database.openEmpty();
    const writes = Array.from({ length: 20 }, (_, index) => store.write((tx) => addKey(tx, `k${index}`)));
    await Promise.all([store.close(), store.close()]);
    await Promise.all(writes);
    assert.equal((await keyIds(await open())).length, 20);
    for (const use of [() => keyIds(store), () => store.write((tx) => addKey(tx, 'x'))])
      await assert.rejects(use, (error) => error instanceof StoreUnavailableError && error.fault === 'closed');
  });

  test('a read, sees one state of the database while others write', async () => {
    const { store } = await database.openEmpty();
    await store.write((tx) => addKey(tx, 'a'));
    const counts = await store.read(async (db) => {
      const seen: number[] = [];
      for (let look = 0; look < 3; look += 1) {
        seen.push((await db.selectFrom('secret_keys').select('id').execute()).length);
        if (database.engine === 'postgres') await store.write((tx) => addKey(tx, `b${look}`));
      }
      return seen;
    });
    assert.deepEqual(counts, [1, 1, 1]);
  });

  test('a read, cannot write', async () => {
    const { store } = await database.openEmpty();
    await assert.rejects(store.read((db) => addKey(db, 'sneaked in')));
    assert.deepEqual(await keyIds(store), []);
    await store.write((tx) => addKey(tx, 'let in'));
  });

  test('whole numbers beyond 32 bits and sums, given as numbers', async () => {
    const { store } = await database.openEmpty();
    const atMs = 1_793_000_000_123;
    await store.write(async (tx) => {
      await addKey(tx, 'a', atMs);
      await addKey(tx, 'b', atMs);
    });
    const row = await store.read((db) =>
      db
        .selectFrom('secret_keys')
        .select((eb) => [eb.fn.sum<number>('created_at_ms').as('sum'), eb.fn.countAll<number>().as('count')])
        .executeTakeFirstOrThrow(),
    );
    assert.deepEqual({ ...row }, { sum: 2 * atMs, count: 2 });
  });

  test('a lock, lets transactions with the same key run one after the other', async () => {
    const { store } = await database.openEmpty();
    await store.write((tx) => addKey(tx, 'counter'));
    const increments = Array.from({ length: 20 }, () =>
      store.write(async (tx) => {
        await store.lock(tx, 'counter');
        const { created_at_ms } = await tx.selectFrom('secret_keys').selectAll().executeTakeFirstOrThrow();
        await tx
          .updateTable('secret_keys')
          .set({ created_at_ms: created_at_ms + 1 })
          .execute();
      }),
    );
    await Promise.all(increments);
    const row = await store.read((db) => db.selectFrom('secret_keys').selectAll().executeTakeFirstOrThrow());
    assert.equal(row.created_at_ms, 20);
  });

  test('ledger rows, cannot be deleted, and postings and drifts not even changed', async () => {
    const { store } = await database.openEmpty();
    const posting = {
      at_ms: 1,
      client_id: 'c',
      budget: 'anlas_day',
      period: 'all',
      from_bucket: 'granted',
      to_bucket: 'available',
      amount: 1,
    } as const;
    const drift = { at_ms: 1, account: 'a', expected_anlas: 1, actual_anlas: 1, drift_anlas: 1, why: '' };
    await store.write(async (tx) => {
      await tx.insertInto('postings').values(posting).execute();
      await tx.insertInto('balance_drifts').values(drift).execute();
    });
    for (const table of ['postings', 'balance_drifts'] as const) {
      await assert.rejects(
        store.write((tx) => tx.deleteFrom(table).execute()),
        /never changed or deleted/,
      );
      await assert.rejects(
        store.write((tx) => tx.updateTable(table).set({ at_ms: 2 }).execute()),
        /never changed or deleted/,
      );
    }
  });

  test('a book that does not balance, refused by the database itself', async () => {
    const { store } = await database.openEmpty();
    const book = {
      client_id: 'c',
      budget: 'anlas_day',
      period: 'all',
      limit_amount: null,
      available: 0,
      held: 0,
      settled: 0,
    };
    const write = (granted: number, reserved: number) =>
      store.write((tx) =>
        tx
          .insertInto('books')
          .values({ ...book, granted, reserved })
          .execute(),
      );
    await assert.rejects(write(5, 4), /check constraint/i);
    await assert.rejects(write(-1, -1), /check constraint/i);
    await write(5, 5);
  });

  test('expired rows, deleted in steps, all of them and no others', async () => {
    const { store } = await database.openEmpty();
    await store.write(async (tx) => {
      const rows = Array.from({ length: 1203 }, (_, index) => ({ ...KEY_ROW, id: `k${index}`, created_at_ms: index }));
      await tx.insertInto('secret_keys').values(rows).execute();
    });
    const expired = { table: 'secret_keys', key: 'id', timeColumn: 'created_at_ms' };
    assert.equal(await deleteExpired(store, { ...expired, beforeMs: 1200 }), 1200);
    assert.deepEqual(await keyIds(store), ['k1200', 'k1201', 'k1202']);
    assert.equal(await deleteExpired(store, { ...expired, beforeMs: 1200 }), 0);
  });

  test('a prepared query, takes the values of each run', async () => {
    const { store } = await database.openEmpty();
    const add = prepareRowsQuery((db, rows: (typeof KEY_ROW & { id: string })[]) =>
      db.insertInto('secret_keys').values(rows),
    );
    const find = prepareQuery((db, slots: { least: number; most: number }) =>
      db
        .selectFrom('secret_keys')
        .select('id')
        .where('created_at_ms', '>=', slots.least)
        .where('created_at_ms', '<=', slots.most)
        .orderBy('id'),
    );
    const row = (id: string, created_at_ms: number) => ({ ...KEY_ROW, id, created_at_ms });
    await store.write((tx) => add(tx, []));
    await store.write((tx) => add(tx, [row('a', 1)]));
    await store.write((tx) => add(tx, [row('b', 2), row('c', 3)]));
    await store.write((tx) => add(tx, [row('d', 4), row('e', 5)]));
    const between = async (least: number, most: number) =>
      (await store.read((db) => find(db, { least, most }))).map(({ id }) => id).join('');
    assert.equal(await between(2, 4), 'bcd');
    assert.equal(await between(5, 9), 'e');
    // The same query on another database of the same kind.
    const { store: other } = await database.openEmpty();
    assert.deepEqual(await other.read((db) => find(db, { least: 0, most: 9 })), []);
  });

  test('two first starts at once, agree on one secret key', async () => {
    const { store } = await database.openEmpty();
    const boxes = await Promise.all(
      [1, 2].map(() => openSecretBox({ store, dataDir: '/nowhere', secretKey: 'one key' })),
    );
    const [first, second] = boxes;
    assert.equal(second?.open(first?.seal('text', 'context') ?? '', 'context'), 'text');
    assert.deepEqual(await keyIds(store), ['k1']);
  });
});
