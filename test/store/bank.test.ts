// What the results store promises, on both databases: one key one answer, and no answer lost with its client.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StoreUnavailableError } from '../../src/store/store-error.ts';
import { answer, bodyOf, bytesIn, isDelivered, openBank, textOf } from './bank-fixture.ts';
import { onBothEngines } from './engines.ts';
import { FaultyStore } from './faulty-store.ts';

const DAY_MS = 86_400_000;

onBothEngines('bank', (database) => {
  test('one key 50 times at once, one runs and all get its bytes', async (t) => {
    const { begin } = await openBank(t, (await database.openEmpty()).store);
    const beginnings = await Promise.all(Array.from({ length: 50 }, () => begin({ key: 'k' })));
    const running = beginnings.filter(({ kind }) => kind === 'run');
    assert.equal(running.length, 1);
    assert.equal(beginnings.filter(({ kind }) => kind === 'join').length, 49);
    const joined = beginnings.map(async (beginning) => {
      assert.ok(beginning.kind === 'join');
      return bodyOf(await beginning.ended);
    });
    const waiting = Promise.allSettled(joined);
    assert.ok(running[0]?.kind === 'run');
    answer(running[0].ticket, 'the picture');
    await running[0].ticket.finish(isDelivered(true));
    const bodies = (await waiting).filter((result) => result.status === 'fulfilled').map(({ value }) => value);
    assert.deepEqual(bodies, Array(49).fill('the picture'));
    const late = await begin({ key: 'k' });
    assert.equal(await bodyOf(late), 'the picture');
    assert.ok(late.kind === 'replay');
    assert.deepEqual(late.answer.headers, {
      'content-type': 'binary/octet-stream',
      'content-length': '11',
      'x-proxy-replay': 'idempotency-key',
    });
  });

  test('one key for two bodies, a conflict while it runs and afterwards; other clients have keys of their own', async (t) => {
    const { begin, run } = await openBank(t, (await database.openEmpty()).store);
    const ticket = await run({ key: 'k', body: 'one' });
    assert.equal((await begin({ key: 'k', body: 'two' })).kind, 'conflict');
    answer(ticket, 'the picture');
    await ticket.finish(isDelivered(true));
    assert.equal((await begin({ key: 'k', body: 'two' })).kind, 'conflict');
    await (await run({ key: 'k', body: 'two', client: 'another' })).abandon();
    await (await run({ key: 'K', body: 'two' })).abandon();
  });

  test('a request that came to nothing at no cost, its key is free again and whoever joined asks again', async (t) => {
    const { begin, run } = await openBank(t, (await database.openEmpty()).store);
    const ticket = await run({ key: 'k' });
    const joined = await begin({ key: 'k' });
    await ticket.abandon();
    assert.ok(joined.kind === 'join');
    assert.deepEqual(await joined.ended, { kind: 'again' });
    const refused = await run({ key: 'k' });
    answer(refused, '{"statusCode":400}', { status: 400 });
    await refused.finish({ isDelivered: true, mayHaveCost: false });
    await (await run({ key: 'k', body: 'mended' })).abandon();
  });

  test('a request that may have cost without an answer, its key is used up, also after a restart', async (t) => {
    const { begin, run, reopen } = await openBank(t, (await database.openEmpty()).store);
    const ticket = await run({ key: 'k' });
    const joined = await begin({ key: 'k' });
    answer(ticket, 'half a pict', { isWhole: false });
    await ticket.finish(isDelivered(false));
    assert.ok(joined.kind === 'join');
    const lost = { kind: 'lost', why: 'it brought no whole answer' };
    assert.deepEqual(await joined.ended, lost);
    assert.deepEqual(await begin({ key: 'k' }), lost);
    assert.deepEqual(await begin({ key: 'k' }, await reopen()), lost);
  });

  test('after a restart, keys still give their answers and files have their sizes', async (t) => {
    const { bank, run, begin, reopen, dir } = await openBank(t, (await database.openEmpty()).store);
    for (const key of ['a', 'b']) {
      const ticket = await run({ key });
      answer(ticket, `picture ${key}`);
      await ticket.finish(isDelivered(true));
    }
    assert.deepEqual(bank.stats, {
      answers: 2,
      usedBytes: 18,
      memoryBytes: 0,
      runningKeys: 0,
      orphans: 0,
      owedWrites: 0,
    });
    const again = await reopen();
    assert.deepEqual(again.stats, {
      answers: 2,
      usedBytes: 18,
      memoryBytes: 0,
      runningKeys: 0,
      orphans: 0,
      owedWrites: 0,
    });
    assert.equal(await bytesIn(dir), 18);
    assert.equal(await bodyOf(await begin({ key: 'b' }, again)), 'picture b');
  });

  test('after a crash, a key that may have been charged is used up and the others are free', async (t) => {
    const { begin, run, reopen } = await openBank(t, (await database.openEmpty()).store);
    const sent = await run({ key: 'sent' });
    await run({ key: 'waiting' });
    const living = await reopen({ owner: 'living' });
    await run({ key: 'elsewhere' }, living);
    const again = await reopen();
    await again.recover({ mayHaveBeenCharged: (id) => id === sent.requestId, liveOwners: ['living'] });
    assert.deepEqual(await begin({ key: 'sent' }, again), {
      kind: 'lost',
      why: 'the service ended in the middle of it',
    });
    await (await run({ key: 'waiting' }, again)).abandon();
    assert.equal((await begin({ key: 'elsewhere' }, again)).kind, 'join');
  });

  test('a key in use by another instance, whoever joins learns its end', async (t) => {
    const { begin, run, reopen, clock } = await openBank(t, (await database.openEmpty()).store);
    const tickets = [await run({ key: 'free' }), await run({ key: 'paid' })] as const;
    const other = await reopen();
    const joined = [await begin({ key: 'free' }, other), await begin({ key: 'paid' }, other)] as const;
    await tickets[0].abandon();
    await tickets[1].finish(isDelivered(false));
    assert.ok(joined[0].kind === 'join' && joined[1].kind === 'join');
    const ends = Promise.all([joined[0].ended, joined[1].ended]);
    await clock.advance(600);
    assert.deepEqual(await ends, [{ kind: 'again' }, { kind: 'lost', why: 'it brought no whole answer' }]);
  });

  test('after 24 hours, a key is new and its old file is gone', async (t) => {
    const { bank, begin, run, clock, dir } = await openBank(t, (await database.openEmpty()).store, {
      limits: { keepMs: 10 * DAY_MS },
    });
    const ticket = await run({ key: 'k' });
    answer(ticket, 'old');
    await ticket.finish(isDelivered(true));
    clock.stepWall(10 * DAY_MS - 1);
    assert.equal(await bodyOf(await begin({ key: 'k' })), 'old', 'kept longer, it stands longer');
    clock.stepWall(1);
    await (await run({ key: 'k', body: 'another' })).abandon();
    assert.equal(bank.stats.answers, 0);
    assert.equal(await bytesIn(dir), 0);
  });

  test('the sweep, removes what is too old; keys stay used up for their day', async (t) => {
    const { store } = await database.openEmpty();
    const { bank, begin, run, clock, dir } = await openBank(t, store, { limits: { keepMs: 3_600_000 } });
    const keyed = await run({ key: 'k' });
    answer(keyed, 'keyed');
    await keyed.finish(isDelivered(true));
    const lost = await run({ body: 'lost' });
    answer(lost, 'lost');
    await lost.finish(isDelivered(false));
    clock.stepWall(3_599_999);
    await bank.sweep();
    assert.equal(bank.stats.answers, 2);
    clock.stepWall(1);
    await bank.sweep();
    assert.equal(bank.stats.answers, 0);
    assert.equal(await bytesIn(dir), 0);
    assert.deepEqual(await begin({ key: 'k' }), { kind: 'lost', why: 'its answer is no longer kept' });
    clock.stepWall(DAY_MS);
    await bank.sweep();
    const { count } = await store.read((db) =>
      db
        .selectFrom('bank_entries')
        .select((eb) => eb.fn.countAll<number>().as('count'))
        .executeTakeFirstOrThrow(),
    );
    assert.equal(count, 0);
  });

  test('the sweep runs by itself, and a clock that goes back removes nothing', async (t) => {
    const { bank, run, clock } = await openBank(t, (await database.openEmpty()).store);
    const ticket = await run({ key: 'k' });
    answer(ticket, 'kept');
    await ticket.finish(isDelivered(true));
    clock.stepWall(-400 * DAY_MS);
    await bank.sweep();
    assert.equal(bank.stats.answers, 1);
    clock.stepWall(402 * DAY_MS);
    await clock.advance(60_000);
    for (let tries = 0; bank.stats.answers > 0 && tries < 200; tries += 1)
      await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(bank.stats.answers, 0);
  });

  test('an outage of the database, requests with a key are not begun and all others are', async (t) => {
    const store = new FaultyStore((await database.openEmpty()).store);
    const { begin, run } = await openBank(t, store);
    store.fault = 'before';
    await assert.rejects(begin({ key: 'k' }), StoreUnavailableError);
    await (await run()).abandon();
    store.fault = 'none';
    await (await run({ key: 'k' })).abandon();
  });

  test('an outage when an answer is kept, it is given all the same and written down later', async (t) => {
    const store = new FaultyStore((await database.openEmpty()).store);
    const { bank, begin, run, reopen } = await openBank(t, store);
    const ticket = await run({ key: 'k' });
    const joined = await begin({ key: 'k' });
    store.fault = 'before';
    answer(ticket, 'the picture');
    await ticket.finish(isDelivered(true));
    assert.ok(joined.kind === 'join');
    assert.equal(await bodyOf(await joined.ended), 'the picture');
    assert.equal(bank.stats.owedWrites, 1);
    store.fault = 'none';
    assert.deepEqual(await begin({ key: 'k' }), { kind: 'lost', why: 'its end could not be written down yet' });
    await bank.sweep();
    assert.equal(bank.stats.owedWrites, 0);
    assert.equal(await bodyOf(await begin({ key: 'k' }, await reopen())), 'the picture');
  });

  test('what was kept for later, found by its request', async (t) => {
    const { bank, run } = await openBank(t, (await database.openEmpty()).store);
    const job = await run({ isAlwaysKept: true });
    answer(job, 'of a job');
    await job.finish(isDelivered(true));
    const found = bank.answerOf(job.requestId);
    assert.ok(found);
    assert.equal(await textOf(found), 'of a job');
    assert.equal(bank.answerOf('nobody'), undefined);
    assert.equal((await run()).requestId.length > 0, true, 'delivered, it is for no other request');
  });
});
