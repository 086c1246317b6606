// What becomes of an answer whose client has left: kept, given once to the same request again, and to nobody else.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settle } from '../support/fake-clock.ts';
import { answer, bodyOf, bytesIn, isDelivered, openBank } from './bank-fixture.ts';
import { onBothEngines } from './engines.ts';

onBothEngines('bank, lost connections', (database) => {
  test('an answer that was delivered, never touches the disk', async (t) => {
    const { bank, run, begin, dir } = await openBank(t, (await database.openEmpty()).store);
    const ticket = await run();
    answer(ticket, 'delivered');
    await ticket.finish(isDelivered(true));
    assert.equal(await bytesIn(dir), 0);
    assert.deepEqual(bank.stats, {
      answers: 0,
      usedBytes: 0,
      memoryBytes: 0,
      runningKeys: 0,
      orphans: 0,
      owedWrites: 0,
    });
    assert.equal((await begin()).kind, 'run', 'the same body again is a new picture');
  });

  test('an answer that was lost, given to the next same request of this client, once', async (t) => {
    const { run, begin } = await openBank(t, (await database.openEmpty()).store);
    const ticket = await run();
    answer(ticket, 'lost picture');
    await ticket.finish(isDelivered(false));
    assert.equal((await begin({ client: 'another' })).kind, 'run');
    assert.equal((await begin({ body: 'another' })).kind, 'run');
    const [first, second] = await Promise.all([begin(), begin()]);
    assert.equal(await bodyOf(first), 'lost picture');
    assert.equal(second.kind, 'run', 'only one gets it');
    assert.ok(first.kind === 'replay');
    assert.equal(first.answer.headers['x-proxy-replay'], 'lost-connection');
    first.answer.settle(true);
    assert.equal((await begin()).kind, 'run');
  });

  test('an answer that is lost again, waits on', async (t) => {
    const { run, begin, reopen } = await openBank(t, (await database.openEmpty()).store);
    const ticket = await run();
    answer(ticket, 'lost twice');
    await ticket.finish(isDelivered(false));
    const first = await begin();
    assert.ok(first.kind === 'replay');
    first.answer.settle(false);
    const again = await reopen();
    const second = await begin({}, again);
    assert.equal(await bodyOf(second), 'lost twice', 'and it outlives a restart');
    assert.ok(second.kind === 'replay');
    second.answer.settle(true);
    await again.close();
    assert.equal((await begin({}, await reopen())).kind, 'run', 'delivered is delivered, also after a restart');
  });

  test('after some minutes, the same request makes a new picture', async (t) => {
    const { run, begin, clock } = await openBank(t, (await database.openEmpty()).store, {
      limits: { lostConnectionMs: 60_000 },
    });
    const ticket = await run();
    answer(ticket, 'lost');
    await ticket.finish(isDelivered(false));
    clock.stepWall(60_000);
    const inTime = await begin();
    assert.ok(inTime.kind === 'replay');
    inTime.answer.settle(false);
    clock.stepWall(1);
    assert.equal((await begin()).kind, 'run');
  });

  test('while NovelAI still works on it, whoever asks again waits for it, and the first one then gets it', async (t) => {
    const { run, begin } = await openBank(t, (await database.openEmpty()).store);
    const ticket = await run();
    ticket.clientLeft();
    await settle();
    const [first, second] = await Promise.all([begin(), begin()]);
    assert.ok(first.kind === 'join' && second.kind === 'join');
    answer(ticket, 'late picture');
    await ticket.finish(isDelivered(false));
    assert.deepEqual([await first.ended, await second.ended], [{ kind: 'again' }, { kind: 'again' }]);
    const [third, fourth] = await Promise.all([begin(), begin()]);
    assert.equal(await bodyOf(third), 'late picture');
    assert.equal(fourth.kind, 'run', 'only one gets it');
  });

  test('a client that leaves a second time while it waits, gets it the third time', async (t) => {
    const { run, begin } = await openBank(t, (await database.openEmpty()).store);
    const ticket = await run();
    ticket.clientLeft();
    await settle();
    const second = await begin();
    assert.equal(second.kind, 'join', 'and nobody waits for its end any more');
    const third = await begin();
    assert.ok(third.kind === 'join');
    answer(ticket, 'the third time');
    await ticket.finish(isDelivered(false));
    await third.ended;
    assert.equal(await bodyOf(await begin()), 'the third time');
  });

  test('when it comes to nothing after all, whoever waited asks again', async (t) => {
    const { run, begin } = await openBank(t, (await database.openEmpty()).store);
    for (const end of ['abandoned', 'broken'] as const) {
      const ticket = await run();
      ticket.clientLeft();
      await settle();
      const joined = await begin();
      assert.ok(joined.kind === 'join');
      if (end === 'abandoned') await ticket.abandon();
      else {
        answer(ticket, 'half', { isWhole: false });
        await ticket.finish(isDelivered(false));
      }
      assert.deepEqual(await joined.ended, { kind: 'again' });
    }
  });

  test('a client that leaves just as the request ends, is no orphan for ever', async (t) => {
    const { run, begin, bank } = await openBank(t, (await database.openEmpty()).store);
    const ticket = await run();
    ticket.clientLeft();
    answer(ticket, 'in the same moment');
    const ended = ticket.finish(isDelivered(false));
    const early = await begin();
    await ended;
    await settle();
    if (early.kind === 'run') await early.ticket.abandon();
    assert.equal(await bodyOf(early.kind === 'replay' ? early : await begin()), 'in the same moment');
    assert.equal((await begin()).kind, 'run');
    assert.equal(bank.stats.memoryBytes, 0);
    assert.equal(bank.stats.orphans, 0);
  });

  test('switched off, nothing is kept for lost connections and keys work', async (t) => {
    const { run, begin, dir } = await openBank(t, (await database.openEmpty()).store, {
      limits: { lostConnectionMs: 0 },
    });
    const ticket = await run();
    ticket.clientLeft();
    answer(ticket, 'lost');
    await ticket.finish(isDelivered(false));
    assert.equal((await begin()).kind, 'run');
    assert.equal(await bytesIn(dir), 0);
    const keyed = await run({ key: 'k' });
    answer(keyed, 'keyed');
    await keyed.finish(isDelivered(false));
    assert.equal(await bodyOf(await begin({ key: 'k' })), 'keyed');
  });

  test('switched off as a whole, keys are charged once all the same', async (t) => {
    const { run, begin, dir } = await openBank(t, (await database.openEmpty()).store, { limits: { totalBytes: 0 } });
    const ticket = await run({ key: 'k' });
    const joined = await begin({ key: 'k' });
    answer(ticket, 'the picture');
    await ticket.finish(isDelivered(true));
    assert.ok(joined.kind === 'join');
    const lost = { kind: 'lost', why: 'answers are not kept' };
    assert.deepEqual(await joined.ended, lost);
    assert.deepEqual(await begin({ key: 'k' }), lost);
    const free = await run({ key: 'free' });
    answer(free, 'the picture');
    await free.finish({ isDelivered: true, mayHaveCost: false });
    assert.equal((await begin({ key: 'free' })).kind, 'run', 'what cost nothing is simply made again');
    assert.equal(await bytesIn(dir), 0);
  });
});
