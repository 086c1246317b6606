// What becomes of attempts whose charge is not known, on every database.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NO_LIMITS } from '../../src/ledger/budgets.ts';
import { Ledger } from '../../src/ledger/ledger.ts';
import { onBothEngines } from './engines.ts';
import {
  attempt,
  book,
  GENERATION_LIMIT_MS,
  granted,
  limits,
  openLedger,
  read,
  reopenLedger,
  sent,
  START_MS,
} from './ledger-fixture.ts';

onBothEngines('ledger, unknown charges', (database) => {
  test('an attempt of unknown charge, stays set aside until a balance proves it charged or free', async () => {
    const { store, clock, ledger } = await openLedger(database);
    await read(ledger, 1000);
    const some = limits({ anlasPerDay: 100, imagesPerDay: 10 });
    const ids = [await sent(ledger, { limits: some }), await sent(ledger, { costAnlas: 13, limits: some })];
    for (const id of ids) await ledger.hold(id);
    assert.equal(await book(store, 'anlas_day', '2026-11-24'), '100 67 0 33 0');
    assert.equal(await book(store, 'images_day', '2026-11-24'), '10 8 0 2 0');
    assert.equal((await ledger.unresolved()).length, 2);
    clock.advance(GENERATION_LIMIT_MS);
    const result = await read(ledger, 987);
    assert.equal(result.isClear && result.stillHeld, 0);
    assert.equal(await book(store, 'anlas_day', '2026-11-24'), '100 87 0 0 13');
    assert.equal(await book(store, 'images_day', '2026-11-24'), '10 10 0 0 0', 'no image reached the client');
    const [free, charged] = [await attempt(store, ids[0] ?? ''), await attempt(store, ids[1] ?? '')];
    assert.deepEqual(
      [free.state, free.outcome, free.charged_anlas, free.resolution],
      ['released', 'unknown', 0, 'proved'],
    );
    assert.deepEqual(
      [charged.state, charged.outcome, charged.charged_anlas, charged.resolution, charged.balance_before_anlas],
      ['settled', 'unknown', 13, 'proved', 1000],
    );
    assert.deepEqual(await ledger.verify(), []);
  });

  test('a free attempt of unknown charge, is released at once', async () => {
    const { store, ledger } = await openLedger(database);
    const id = await sent(ledger, { costAnlas: 0, limits: limits({ imagesPerDay: 3 }) });
    await ledger.hold(id);
    const row = await attempt(store, id);
    assert.deepEqual([row.state, row.outcome, row.charged_anlas], ['released', 'unknown', 0]);
    assert.equal(await book(store, 'images_day', '2026-11-24'), '3 3 0 0 0');
    assert.deepEqual(await ledger.unresolved(), []);
  });

  test('an attempt that NovelAI may still work on, is not found free too early', async () => {
    const { clock, ledger } = await openLedger(database);
    await read(ledger, 1000);
    await ledger.hold(await sent(ledger));
    clock.advance(GENERATION_LIMIT_MS - 1);
    assert.equal((await read(ledger, 1000)).stillHeld, 1, 'not charged yet');
    clock.advance(10);
    assert.deepEqual(
      (await read(ledger, 980)).resolved.map(({ chargedAnlas }) => chargedAnlas),
      [20],
      'charged late',
    );
  });

  test('paid work that ends or begins during a reading, makes no drift whichever balance NovelAI gave', async () => {
    for (const isInBalance of [true, false]) {
      const { store, ledger } = await openLedger(database);
      await read(ledger, 1000);
      const ending = await sent(ledger);
      const reading = ledger.startReading('main');
      await ledger.settle(ending, { outcome: 'succeeded', chargedAnlas: 20 });
      await reading.finish({ fixedAnlas: isInBalance ? 980 : 1000, purchasedAnlas: 0 });
      const second = ledger.startReading('main');
      const beginning = await sent(ledger, { costAnlas: 7 });
      await second.finish({ fixedAnlas: isInBalance ? 973 : 980, purchasedAnlas: 0 });
      await ledger.settle(beginning, { outcome: 'succeeded', chargedAnlas: 7 });
      assert.deepEqual(await read(ledger, 973), { isClear: true, resolved: [], stillHeld: 0, driftAnlas: 0 });
      assert.deepEqual(await store.read((db) => db.selectFrom('balance_drifts').selectAll().execute()), []);
    }
  });

  test('paid work under way that blurs a reading, leaves an unknown attempt for a quiet one', async () => {
    const { clock, ledger } = await openLedger(database);
    await read(ledger, 1000);
    await ledger.hold(await sent(ledger));
    clock.advance(GENERATION_LIMIT_MS);
    const other = await sent(ledger);
    const blurred = await read(ledger, 980);
    assert.deepEqual([blurred.isClear, blurred.stillHeld], [false, 1]);
    await ledger.settle(other, { outcome: 'succeeded', chargedAnlas: 20 });
    const quiet = await read(ledger, 960);
    assert.deepEqual(
      quiet.resolved.map(({ chargedAnlas }) => chargedAnlas),
      [20],
    );
  });

  test('what a balance shows beyond what is known, is written down: spending, purchases, refills', async () => {
    const { store, ledger } = await openLedger(database);
    await read(ledger, 1000);
    await ledger.settle(await sent(ledger), { outcome: 'succeeded', chargedAnlas: 20 });
    assert.equal((await read(ledger, 973)).driftAnlas, 7);
    await ledger.startReading('main').finish({ fixedAnlas: 970, purchasedAnlas: 5000 });
    await ledger.startReading('main').finish({ fixedAnlas: 10_000, purchasedAnlas: 5000 });
    const rows = await store.read((db) =>
      db.selectFrom('balance_drifts').select(['drift_anlas', 'why']).orderBy('seq').execute(),
    );
    assert.deepEqual(
      rows.map(({ drift_anlas, why }) => [drift_anlas, why]),
      [
        [7, 'spent outside of the service, or charged unseen'],
        [-5000, 'Anlas were bought'],
        [3, 'spent outside of the service, or charged unseen'],
        [-9030, 'refilled or bought'],
      ],
    );
    const [row] = await ledger.report({ by: 'account' });
    assert.equal(row?.driftAnlas, 7 - 5000 + 3 - 9030);
  });

  test('an attempt that no balance can decide, is listed until an operator decides, and then is no drift any more', async () => {
    const { store, clock, ledger } = await openLedger(database);
    await read(ledger, 1000);
    const id = await sent(ledger);
    await ledger.hold(id);
    clock.advance(GENERATION_LIMIT_MS);
    assert.deepEqual(await read(ledger, 950), { isClear: true, resolved: [], stillHeld: 1, driftAnlas: 50 });
    assert.deepEqual(
      (await ledger.unresolved()).map(({ id, resolution }) => [id, resolution]),
      [[id, 'undecidable']],
    );
    assert.equal((await read(ledger, 930)).stillHeld, 1, 'a later fall is not taken for it');
    await ledger.resolve(id, { chargedAnlas: 20 });
    assert.deepEqual(await ledger.unresolved(), []);
    const [row] = await ledger.report({ by: 'account' });
    assert.deepEqual([row?.chargedAnlas, row?.driftAnlas], [20, 50]);
    assert.equal(await book(store, 'anlas_total', 'all'), '20 0 0 0 20');
    assert.deepEqual(await ledger.verify(), []);
  });

  test('an attempt decided by an operator before any reading, is counted as spent', async () => {
    const { ledger } = await openLedger(database);
    await read(ledger, 1000);
    const id = await sent(ledger);
    await ledger.hold(id);
    await ledger.resolve(id, { chargedAnlas: 20 });
    assert.deepEqual(await read(ledger, 980), { isClear: true, resolved: [], stillHeld: 0, driftAnlas: 0 });
  });

  test('an account never read before, takes the balance that the sender knew as the first reading', async () => {
    const { clock, ledger } = await openLedger(database);
    const id = await granted(ledger);
    const balanceBefore = { fixedAnlas: 500, purchasedAnlas: 500 };
    await ledger.markSent(id, { account: 'main', quotedAnlas: 20, limits: NO_LIMITS, balanceBefore });
    await ledger.hold(id);
    clock.advance(GENERATION_LIMIT_MS);
    assert.deepEqual(
      (await read(ledger, 980)).resolved.map(({ chargedAnlas }) => chargedAnlas),
      [20],
    );
  });

  test('a start after a crash, releases what was reserved, holds what was sent, and tells which accounts must rest', async () => {
    const { store, clock, ledger } = await openLedger(database);
    await read(ledger, 1000);
    const some = limits({ anlasPerDay: 100 });
    await granted(ledger, { limits: some });
    await sent(ledger, { limits: some });
    clock.advance(5000);
    const last = await sent(ledger, { costAnlas: 0, limits: some, account: 'main' });
    const other = await sent(ledger, { limits: some, account: 'other' });
    const done = await sent(ledger, { account: 'idle', limits: some });
    await ledger.settle(done, { outcome: 'succeeded', chargedAnlas: 20 });

    const next = await reopenLedger(store, clock);
    const { released, cutOff, lastSent } = await next.recover();
    assert.equal(released, 1);
    assert.equal(cutOff.length, 3);
    assert.deepEqual(
      new Map(lastSent.map(({ account, id, sent_at_ms }) => [account, [id, sent_at_ms]])),
      new Map([
        ['main', [last, START_MS + 5000]],
        ['other', [other, START_MS + 5000]],
      ]),
    );
    assert.equal(await book(store, 'anlas_day', '2026-11-24'), '100 40 0 40 20');
    assert.deepEqual(await next.verify(), []);
    assert.deepEqual((await next.recover()).cutOff, [], 'a second start finds nothing more');
    clock.advance(GENERATION_LIMIT_MS);
    assert.deepEqual(
      (await read(next, 980)).resolved.map(({ chargedAnlas }) => chargedAnlas),
      [20],
    );
  });

  test('a start beside other instances, leaves the attempts of the living ones alone', async () => {
    const { store, clock, ledger } = await openLedger(database);
    const mine = await sent(ledger);
    const next = await Ledger.open({ store, clock });
    assert.deepEqual((await next.recover({ otherOwners: [ledger.owner] })).cutOff, []);
    assert.equal((await attempt(store, mine)).state, 'sent');
    assert.equal((await next.recover()).cutOff.length, 1);
  });
});
