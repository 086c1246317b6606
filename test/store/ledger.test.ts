// The rules of the budgets, on every database.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NO_LIMITS } from '../../src/ledger/budgets.ts';
import { Ledger } from '../../src/ledger/ledger.ts';
import { LedgerError } from '../../src/ledger/ledger-error.ts';
import { FakeClock } from '../unit/ledger/fake-clock.ts';
import { onBothEngines } from './engines.ts';
import { attempt, book, granted, limits, openLedger, request, sent, START_MS } from './ledger-fixture.ts';

const DAY_MS = 86_400_000;

onBothEngines('ledger', (database) => {
  test('200 requests at once against a budget for 10, admit exactly 10, for every kind of budget', async () => {
    const { store, ledger } = await openLedger(database);
    for (const [clientId, some] of Object.entries({
      day: { anlasPerDay: 209 },
      month: { anlasPerMonth: 200 },
      total: { anlasTotal: 219 },
      images: { imagesPerDay: 10 },
    })) {
      const tries = Array.from({ length: 200 }, () => ledger.reserve(request({ clientId, limits: limits(some) })));
      const results = await Promise.all(tries);
      assert.equal(results.filter(({ isGranted }) => isGranted).length, 10, clientId);
      const rows = await store.read((db) =>
        db.selectFrom('attempts').select('id').where('client_id', '=', clientId).execute(),
      );
      assert.equal(rows.length, 10, 'a refused request leaves no trace');
    }
    assert.equal(await book(store, 'anlas_day', '2026-11-24', 'day'), '209 9 200 0 0');
    assert.deepEqual(await ledger.verify(), []);
  });

  test('a refusal, names the budget, what of it is used, and when it is whole again', async () => {
    const { ledger } = await openLedger(database);
    const some = limits({ anlasPerDay: 50, anlasPerMonth: 30 });
    await granted(ledger, { limits: some });
    const { requestId, ...refused } = request({ limits: some });
    assert.deepEqual(await ledger.reserve({ ...refused, requestId }), {
      isGranted: false,
      budget: 'anlas_month',
      limit: 30,
      used: 20,
      resetsAtMs: Date.UTC(2026, 11, 1),
    });
    await granted(ledger, { costAnlas: 0, limits: some });
  });

  test('a request that succeeds, is settled, and what its price was too much is available again', async () => {
    const { store, ledger } = await openLedger(database);
    const id = await granted(ledger, {
      costAnlas: 30,
      images: 4,
      limits: limits({ anlasPerDay: 100, imagesPerDay: 5 }),
    });
    assert.equal(await book(store, 'anlas_day', '2026-11-24'), '100 70 30 0 0');
    assert.equal(await book(store, 'anlas_total', 'all'), '30 0 30 0 0');
    assert.equal(await book(store, 'images_day', '2026-11-24'), '5 1 4 0 0');
    await ledger.markSent(id, { account: 'main', quotedAnlas: 30, limits: NO_LIMITS });
    await ledger.settle(id, { outcome: 'succeeded', chargedAnlas: 20 });
    assert.equal(await book(store, 'anlas_day', '2026-11-24'), '100 80 0 0 20');
    assert.equal(await book(store, 'anlas_month', '2026-11'), '20 0 0 0 20');
    assert.equal(await book(store, 'images_day', '2026-11-24'), '5 1 0 0 4');
    const row = await attempt(store, id);
    assert.deepEqual(
      [row.state, row.outcome, row.charged_anlas, row.charged_images, row.sends, row.account],
      ['settled', 'succeeded', 20, 4, 1, 'main'],
    );
    assert.deepEqual(await ledger.verify(), []);
  });

  test('a request that fails, gives everything back, or is settled without images when it was charged', async () => {
    const { store, ledger } = await openLedger(database);
    const some = limits({ anlasPerDay: 100, imagesPerDay: 5 });
    await ledger.release(await granted(ledger, { limits: some }), 'cancelled_queued');
    await ledger.release(await sent(ledger, { limits: some }), 'failed_upstream_free');
    assert.equal(await book(store, 'anlas_day', '2026-11-24'), '100 100 0 0 0');
    const charged = await sent(ledger, { limits: some });
    await ledger.settle(charged, { outcome: 'failed_upstream_charged', chargedAnlas: 25 });
    assert.equal(await book(store, 'anlas_day', '2026-11-24'), '100 75 0 0 25');
    assert.equal(await book(store, 'images_day', '2026-11-24'), '5 5 0 0 0');
    assert.deepEqual(await ledger.verify(), []);
  });

  test('free work without images, is recorded and touches no budget', async () => {
    const { store, ledger } = await openLedger(database);
    const id = await sent(ledger, {
      endpoint: 'generate',
      costAnlas: 0,
      images: 0,
      limits: limits({ anlasPerDay: 0 }),
    });
    await ledger.settle(id, { outcome: 'succeeded', chargedAnlas: 0 });
    assert.equal((await attempt(store, id)).outcome, 'succeeded');
    assert.deepEqual(await store.read((db) => db.selectFrom('books').selectAll().execute()), []);
  });

  test('a price on the account that differs from the reserved one, changes what is set aside', async () => {
    const { store, ledger } = await openLedger(database);
    const some = limits({ anlasPerDay: 50 });
    const cheaper = await granted(ledger, { costAnlas: 20, limits: some });
    await ledger.markSent(cheaper, { account: 'main', quotedAnlas: 0, limits: some });
    assert.equal(await book(store, 'anlas_day', '2026-11-24'), '50 50 0 0 0');
    const dearer = await granted(ledger, { costAnlas: 0, limits: some });
    await ledger.markSent(dearer, { account: 'main', quotedAnlas: 30, limits: some });
    assert.equal(await book(store, 'anlas_day', '2026-11-24'), '50 20 30 0 0');
    const tooDear = await granted(ledger, { costAnlas: 20, limits: some });
    const refusal = await ledger.markSent(tooDear, { account: 'main', quotedAnlas: 21, limits: some });
    assert.deepEqual(refusal, {
      isGranted: false,
      budget: 'anlas_day',
      limit: 50,
      used: 50,
      resetsAtMs: Date.UTC(2026, 10, 25),
    });
    const row = await attempt(store, tooDear);
    assert.deepEqual([row.state, row.sends, row.account], ['reserved', 0, null], 'as if it had not been tried');
    assert.ok((await ledger.markSent(tooDear, { account: 'other', quotedAnlas: 20, limits: some })).isGranted);
    assert.deepEqual(await ledger.verify(), []);
  });

  test('work reserved as free that turns out to cost, is held against a budget that nothing was reserved from before', async () => {
    const { store, ledger } = await openLedger(database);
    const some = limits({ anlasTotal: 10 });
    const id = await granted(ledger, { costAnlas: 0, limits: some });
    const refusal = await ledger.markSent(id, { account: 'main', quotedAnlas: 11, limits: some });
    assert.equal(!refusal.isGranted && refusal.budget, 'anlas_total');
    assert.equal(await book(store, 'anlas_total', 'all'), undefined);
    assert.ok((await ledger.markSent(id, { account: 'main', quotedAnlas: 10, limits: some })).isGranted);
    assert.equal(await book(store, 'anlas_total', 'all'), '10 0 10 0 0');
  });

  test('a sending taken back, may be sent to another account; the ledger remembers how often and why', async () => {
    const { store, ledger } = await openLedger(database);
    const id = await sent(ledger);
    await ledger.markUnsent(id, 'answered 429');
    await ledger.markSent(id, { account: 'other', quotedAnlas: 20, limits: NO_LIMITS });
    await ledger.settle(id, { outcome: 'succeeded', chargedAnlas: 20 });
    const row = await attempt(store, id);
    assert.deepEqual([row.sends, row.unsent_why, row.account], [2, 'answered 429', 'other']);
    assert.deepEqual(await ledger.verify(), []);
  });

  test('steps out of order, are faults and move no money', async () => {
    const { ledger } = await openLedger(database);
    const reserved = await granted(ledger);
    const isFault = (error: unknown) => error instanceof LedgerError;
    await assert.rejects(
      ledger.settle(reserved, { outcome: 'succeeded', chargedAnlas: 20 }),
      isFault,
      'settle before sent',
    );
    await assert.rejects(ledger.hold(reserved), isFault, 'hold before sent');
    await assert.rejects(ledger.markUnsent(reserved, 'x'), isFault, 'taken back before sent');
    const twice = request();
    await ledger.reserve(twice);
    await assert.rejects(ledger.reserve(twice), isFault, 'reserved twice');
    const settled = await sent(ledger);
    await assert.rejects(
      ledger.markSent(settled, { account: 'main', quotedAnlas: 20, limits: NO_LIMITS }),
      isFault,
      'sent twice',
    );
    await ledger.settle(settled, { outcome: 'succeeded', chargedAnlas: 20 });
    await assert.rejects(ledger.settle(settled, { outcome: 'succeeded', chargedAnlas: 20 }), isFault, 'settled twice');
    await assert.rejects(ledger.release(settled, 'failed_gateway'), isFault, 'released after it was settled');
    await assert.rejects(ledger.hold(settled), isFault, 'held after it was settled');
    await assert.rejects(ledger.release('never seen', 'failed_gateway'), isFault);
    await assert.rejects(ledger.resolve(settled, { chargedAnlas: 1 }), isFault);
    for (const costAnlas of [-1, 0.5, NaN, Infinity])
      await assert.rejects(ledger.reserve(request({ costAnlas })), isFault, `${costAnlas}`);
    assert.deepEqual(await ledger.verify(), []);
  });

  test('a new day and a new month, have their own budgets; an end counts for the day of its reservation', async () => {
    const { store, clock, ledger } = await openLedger(database, Date.UTC(2026, 10, 30, 23));
    const some = limits({ anlasPerDay: 30, anlasPerMonth: 30, anlasTotal: 70 });
    const first = await sent(ledger, { limits: some });
    assert.equal((await ledger.reserve(request({ limits: some }))).isGranted, false);
    clock.advance(2 * 3_600_000);
    const second = await sent(ledger, { limits: some });
    for (const id of [first, second]) await ledger.settle(id, { outcome: 'succeeded', chargedAnlas: 20 });
    assert.equal(await book(store, 'anlas_day', '2026-11-30'), '30 10 0 0 20');
    assert.equal(await book(store, 'anlas_day', '2026-12-01'), '30 10 0 0 20');
    assert.equal(await book(store, 'anlas_month', '2026-12'), '30 10 0 0 20');
    clock.advance(31 * DAY_MS);
    await granted(ledger, { limits: some });
    const refusal = await ledger.reserve(request({ limits: some }));
    assert.equal(!refusal.isGranted && refusal.budget, 'anlas_total');
    assert.deepEqual(await ledger.verify(), []);
  });

  test('a clock set back, opens no second window, also over a restart, and gives no negative ages', async () => {
    const { store, clock, ledger } = await openLedger(database, Date.UTC(2026, 10, 25, 0, 10));
    const some = limits({ anlasPerDay: 20 });
    const id = await sent(ledger, { limits: some });
    clock.jump(-3_600_000);
    assert.equal((await ledger.reserve(request({ limits: some }))).isGranted, false, 'yesterday is over');
    const next = await Ledger.open({ store, clock });
    assert.equal(next.clockLagMs, 3_600_000);
    assert.equal((await next.reserve(request({ limits: some }))).isGranted, false, 'also after a restart');
    await ledger.settle(id, { outcome: 'succeeded', chargedAnlas: 20 });
    const row = await attempt(store, id);
    assert.ok((row.ended_at_ms ?? 0) >= (row.sent_at_ms ?? Infinity), 'no negative age');
  });

  test('a limit set, raised, lowered and lifted, counts from the next request on, with what was used before', async () => {
    const { store, ledger } = await openLedger(database);
    await granted(ledger);
    assert.equal((await ledger.reserve(request({ limits: limits({ anlasPerDay: 30 }) }))).isGranted, false);
    await granted(ledger, { limits: limits({ anlasPerDay: 40 }) });
    assert.equal(await book(store, 'anlas_day', '2026-11-24'), '40 0 40 0 0');
    assert.equal(
      (await ledger.reserve(request({ costAnlas: 1, limits: limits({ anlasPerDay: 10 }) }))).isGranted,
      false,
    );
    await granted(ledger);
    assert.equal(await book(store, 'anlas_day', '2026-11-24'), '60 0 60 0 0');
    const rows = await store.read((db) => db.selectFrom('books').select('limit_amount').execute());
    assert.ok(rows.every(({ limit_amount }) => limit_amount === null));
    assert.deepEqual(await ledger.verify(), []);
  });

  test('reports, add up by client, day, model and account, within the time asked for', async () => {
    const { clock, ledger } = await openLedger(database);
    await ledger.settle(await sent(ledger, { images: 2 }), { outcome: 'succeeded', chargedAnlas: 20 });
    await ledger.release(await granted(ledger), 'expired_queued');
    clock.advance(DAY_MS);
    const web = { clientId: 'web', clientName: 'Web', model: undefined, account: 'other' };
    await ledger.settle(await sent(ledger, web), { outcome: 'failed_upstream_charged', chargedAnlas: 20 });
    await ledger.hold(await sent(ledger, web));
    await granted(ledger, web);
    const zero = {
      requests: 0,
      succeeded: 0,
      failed: 0,
      notSent: 0,
      unknown: 0,
      open: 0,
      images: 0,
      chargedAnlas: 0,
      pendingAnlas: 0,
    };
    const bot = { ...zero, requests: 2, succeeded: 1, notSent: 1, images: 2, chargedAnlas: 20 };
    const others = { ...zero, requests: 3, failed: 1, unknown: 1, open: 1, chargedAnlas: 20, pendingAnlas: 40 };
    const plain = (rows: object[]) => rows.map((row) => Object.assign({}, row));
    assert.deepEqual(plain(await ledger.report({ by: 'client' })), [
      { ...bot, key: 'bot', name: 'Bot' },
      { ...others, key: 'web', name: 'Web' },
    ]);
    assert.deepEqual(plain(await ledger.report({ by: 'day' })), [
      { ...bot, key: '2026-11-24', name: '2026-11-24' },
      { ...others, key: '2026-11-25', name: '2026-11-25' },
    ]);
    assert.deepEqual(
      (await ledger.report({ by: 'model' })).map(({ key }) => key),
      ['-', 'nai-diffusion-4-5-full'],
    );
    assert.deepEqual(
      (await ledger.report({ by: 'account' })).map(({ key, requests }) => [key, requests]),
      [
        ['-', 2],
        ['main', 1],
        ['other', 2],
      ],
    );
    const [only, ...none] = await ledger.report({ by: 'client', fromMs: START_MS + 1 });
    assert.deepEqual([only?.key, none.length], ['web', 0]);
    assert.deepEqual(await ledger.report({ by: 'client', toMs: START_MS }), []);
  });

  test('the check of all balances, finds a book, a posting and an attempt that were tampered with', async () => {
    const { store, ledger } = await openLedger(database);
    await ledger.settle(await sent(ledger), { outcome: 'succeeded', chargedAnlas: 20 });
    assert.deepEqual(await ledger.verify(), []);
    const settled = (value: number) => ({ granted: value, settled: value });
    await store.write((tx) => tx.updateTable('books').set(settled(19)).where('budget', '=', 'anlas_month').execute());
    const differences = await ledger.verify();
    assert.deepEqual([...new Set(differences.map(({ source }) => source))].toSorted(), ['attempts', 'postings']);
    assert.ok(differences.every(({ book }) => book === 'bot anlas_month 2026-11'));
    await store.write((tx) => tx.updateTable('books').set(settled(20)).where('budget', '=', 'anlas_month').execute());
    await store.write((tx) => tx.updateTable('attempts').set({ charged_anlas: 5 }).execute());
    assert.deepEqual((await ledger.verify()).map(({ source, expected, actual }) => [source, expected, actual])[0], [
      'attempts',
      5,
      20,
    ]);
    await store.write((tx) => tx.updateTable('attempts').set({ charged_anlas: 20 }).execute());
    await store.write((tx) =>
      tx
        .insertInto('postings')
        .values({
          at_ms: 0,
          client_id: 'x',
          budget: 'anlas_day',
          period: 'all',
          from_bucket: 'granted',
          to_bucket: 'settled',
          amount: 1,
        })
        .execute(),
    );
    assert.deepEqual(
      (await ledger.verify()).map(({ source }) => source),
      ['postings', 'postings'],
    );
  });

  test('two instances on one database, share the budgets to the unit', async (context) => {
    if (database.engine === 'sqlite') {
      context.skip('one service per SQLite file');
      return;
    }
    const { store, open: openAgain } = await database.openEmpty();
    const clock = new FakeClock(START_MS);
    const ledgers = [await Ledger.open({ store, clock }), await Ledger.open({ store: await openAgain(), clock })];
    const some = limits({ anlasPerDay: 200 });
    const run = async (index: number) => {
      const ledger = ledgers[index % 2] as Ledger;
      const reservation = await ledger.reserve(request({ clientId: `c${index % 3}`, limits: some }));
      if (!reservation.isGranted) return 0;
      await ledger.markSent(reservation.attemptId, { account: `a${index % 2}`, quotedAnlas: 20, limits: some });
      if (index % 5 === 0) await ledger.startReading(`a${index % 2}`).finish({ fixedAnlas: 1000, purchasedAnlas: 0 });
      if (index % 4 === 0) await ledger.hold(reservation.attemptId);
      else await ledger.settle(reservation.attemptId, { outcome: 'succeeded', chargedAnlas: 20 });
      return 1;
    };
    const results = await Promise.all(Array.from({ length: 120 }, (_, index) => run(index)));
    const admitted = results.reduce<number>((sum, result) => sum + result, 0);
    assert.ok(admitted >= 30 && admitted <= 120, `${admitted}`);
    assert.deepEqual(await (ledgers[0] as Ledger).verify(), []);
    for (const clientId of ['c0', 'c1', 'c2']) {
      const [grantedAnlas] = (await book(store, 'anlas_day', '2026-11-24', clientId))?.split(' ') ?? [];
      assert.equal(grantedAnlas, '200', 'never more than the limit');
    }
  });
});
