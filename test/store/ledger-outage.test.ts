// What the ledger does while the database cannot be written, on every database.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NO_LIMITS } from '../../src/ledger/budgets.ts';
import type { Ledger } from '../../src/ledger/ledger.ts';
import { StoreUnavailableError } from '../../src/store/store-error.ts';
import { FakeClock } from '../unit/ledger/fake-clock.ts';
import { onBothEngines } from './engines.ts';
import { FaultyStore } from './faulty-store.ts';
import { attempt, book, granted, reopenLedger, request, sent, START_MS } from './ledger-fixture.ts';
import { until } from '../support/until.ts';

const RETRY_MS = 10_000;

function isUnavailable(error: unknown): boolean {
  return error instanceof StoreUnavailableError;
}

onBothEngines('ledger, outages', (database) => {
  async function open() {
    const { store } = await database.openEmpty();
    const faulty = new FaultyStore(store);
    const clock = new FakeClock(START_MS);
    return { store: faulty, clock, ledger: await reopenLedger(faulty, clock) };
  }

  /** Lets retries that are due run until nothing is owed. */
  async function untilPaid(ledger: Ledger, clock: FakeClock): Promise<void> {
    for (let tries = 0; ledger.owedCount > 0 && tries < 200; tries += 1) {
      clock.advance(RETRY_MS);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.equal(ledger.owedCount, 0);
  }

  for (const fault of ['before', 'after'] as const) {
    test(`a reservation that fails ${fault} it is stored, throws, and uses nothing up in the end`, async () => {
      const { store, clock, ledger } = await open();
      store.fault = fault;
      const failed = request();
      await assert.rejects(ledger.reserve(failed), isUnavailable);
      store.fault = 'none';
      await untilPaid(ledger, clock);
      await granted(ledger);
      // What was stored after all is given up by a write of its own, which nobody waits for.
      const given = '20 0 20 0 0';
      for (let tries = 0; tries < 200 && (await book(store, 'anlas_total', 'all')) !== given; tries += 1)
        await new Promise((resolve) => setTimeout(resolve, 10));
      assert.equal(await book(store, 'anlas_total', 'all'), given);
      assert.deepEqual(await ledger.verify(), []);
    });

    test(`a sending that fails ${fault} it is stored, throws, and can be released`, async () => {
      const { store, clock, ledger } = await open();
      const id = await granted(ledger);
      store.fault = fault;
      await assert.rejects(ledger.markSent(id, { account: 'main', quotedAnlas: 20, limits: NO_LIMITS }), isUnavailable);
      const released = ledger.release(id, 'failed_gateway');
      await until(() => ledger.owedCount === 1);
      store.fault = 'none';
      await untilPaid(ledger, clock);
      await released;
      assert.equal((await attempt(store, id)).outcome, 'failed_gateway');
      assert.equal(await book(store, 'anlas_total', 'all'), '0 0 0 0 0');
      assert.deepEqual(await ledger.verify(), []);
    });

    test(`ends that fail ${fault} they are stored, are written once when the database is back`, async () => {
      const { store, clock, ledger } = await open();
      const settled = await sent(ledger);
      const released = await sent(ledger);
      const held = await sent(ledger);
      store.fault = fault;
      const ends = Promise.all([
        ledger.settle(settled, { outcome: 'succeeded', chargedAnlas: 15 }),
        ledger.release(released, 'failed_upstream_free'),
        ledger.hold(held),
      ]);
      await until(() => ledger.owedCount === 3);
      store.fault = 'none';
      await untilPaid(ledger, clock);
      await ends;
      assert.ok(store.failures >= 3);
      assert.equal(await book(store, 'anlas_total', 'all'), '35 0 0 20 15');
      assert.deepEqual(
        (await Promise.all([settled, released, held].map((id) => attempt(store, id)))).map(({ outcome }) => outcome),
        ['succeeded', 'failed_upstream_free', 'unknown'],
      );
      assert.deepEqual(await ledger.verify(), []);
    });
  }

  test('ends still owed when the process stops, are found by the next start', async () => {
    const { store, clock, ledger } = await open();
    const id = await sent(ledger);
    store.fault = 'before';
    const end = ledger.settle(id, { outcome: 'succeeded', chargedAnlas: 20 });
    await until(() => ledger.owedCount === 1);
    await Promise.all([ledger.close(), assert.rejects(end, isUnavailable)]);
    store.fault = 'none';
    const next = await reopenLedger(store, clock);
    assert.deepEqual(
      (await next.recover()).cutOff.map((row) => row.id),
      [id],
    );
    assert.equal(await book(store, 'anlas_total', 'all'), '20 0 0 20 0');
  });

  test('a reading that cannot be written, loses nothing: the next one says the same', async () => {
    const { store, clock, ledger } = await open();
    await ledger.startReading('main').finish({ fixedAnlas: 1000, purchasedAnlas: 0 });
    await ledger.hold(await sent(ledger));
    clock.advance(60_000);
    const balance = { fixedAnlas: 980, purchasedAnlas: 0 };
    for (const fault of ['before', 'after'] as const) {
      store.fault = fault;
      await assert.rejects(ledger.startReading('main').finish(balance), isUnavailable);
    }
    store.fault = 'none';
    assert.equal((await ledger.startReading('main').finish(balance)).driftAnlas, 0);
    assert.equal(await book(store, 'anlas_total', 'all'), '20 0 0 0 20');
    assert.deepEqual(await ledger.unresolved(), []);
    assert.deepEqual(await ledger.verify(), []);
  });
});
