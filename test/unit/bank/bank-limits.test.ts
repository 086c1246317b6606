// Tests that the bank never holds more than its limit, not even for a moment, and what it gives up for that.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openStore } from '../../../src/store/open-store.ts';
import type { Store } from '../../../src/store/store.ts';
import { answer, bodyOf, bytesIn, isDelivered, openBank } from '../../store/bank-fixture.ts';

let dataDir: string;
let count = 0;
const stores: Store[] = [];
before(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'proxy-bank-limits-'));
});
after(async () => {
  for (const store of stores) await store.close();
  await rm(dataDir, { recursive: true, force: true });
});

async function newStore(): Promise<Store> {
  count += 1;
  const store = await openStore({ databaseUrl: `sqlite:${join(dataDir, `${count}.db`)}`, dataDir });
  stores.push(store);
  return store;
}

function textOf(index: number, sizeBytes: number): string {
  return `${index}:`.padEnd(sizeBytes, 'x');
}

test('bank limit, eight writers against room for ten answers: never more on the disk or on the books', async (t) => {
  const limitBytes = 100_000;
  const { bank, run, dir } = await openBank(t, await newStore(), {
    limits: { totalBytes: limitBytes, memoryBytes: 20_000 },
  });
  let most = 0;
  let looks = 0;
  const watch = { isOver: false };
  const watching = (async () => {
    while (!watch.isOver) {
      assert.ok(bank.stats.usedBytes <= limitBytes, `${bank.stats.usedBytes} bytes on the books`);
      const bytes = await bytesIn(dir);
      assert.ok(bytes <= limitBytes, `${bytes} bytes on the disk`);
      most = Math.max(most, bytes);
      looks += 1;
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  const writers = Array.from({ length: 8 }, async (_writer, writer) => {
    for (let index = writer; index < 160; index += 8) {
      const ticket = await run({ key: `k${index}`, body: `${index}` });
      answer(ticket, textOf(index, 6000 + 100 * (index % 60)));
      await ticket.finish(isDelivered(true));
    }
  });
  await Promise.all([watching, Promise.all(writers).finally(() => (watch.isOver = true))]);
  assert.ok(looks > 10, `${looks} looks`);
  assert.ok(most > limitBytes / 2, `the test kept something: ${most} bytes at most`);
  assert.equal(await bytesIn(dir), bank.stats.usedBytes, 'the books are right');
  assert.ok(bank.stats.answers >= 10);
  assert.equal(bank.stats.memoryBytes, 0);
});

test('bank limit, delivered answers go first and the oldest of them at the front; keys stay used up', async (t) => {
  const { begin, run } = await openBank(t, await newStore(), { limits: { totalBytes: 1000 } });
  for (const [index, delivered] of [
    [1, false],
    [2, true],
    [3, true],
    [4, true],
  ] as const) {
    const ticket = await run({ key: `k${index}`, body: `${index}` });
    answer(ticket, textOf(index, 300));
    await ticket.finish(isDelivered(delivered));
    // Whoever asks for it again and leaves does not make it undelivered.
    if (index !== 2) continue;
    const again = await begin({ key: 'k2', body: '2' });
    assert.ok(again.kind === 'replay');
    again.answer.settle(false);
  }
  assert.equal(await bodyOf(await begin({ key: 'k1', body: '1' })), textOf(1, 300), 'never delivered, so it stayed');
  assert.deepEqual(await begin({ key: 'k2', body: '2' }), {
    kind: 'lost',
    why: 'its answer had to make room for newer ones',
  });
  assert.equal(await bodyOf(await begin({ key: 'k3', body: '3' })), textOf(3, 300));
  assert.equal(await bodyOf(await begin({ key: 'k4', body: '4' })), textOf(4, 300));
});

test('bank limit, an answer larger than allowed is not kept and costs nobody their place', async (t) => {
  const { bank, begin, run } = await openBank(t, await newStore(), { limits: { totalBytes: 1000, answerBytes: 1500 } });
  const small = await run({ key: 'small' });
  answer(small, textOf(1, 900));
  await small.finish(isDelivered(true));
  const whys: string[] = [];
  for (const [key, sizeBytes] of [
    ['larger than the bank', 1200],
    ['larger than an answer may be', 1501],
  ] as const) {
    const large = await run({ key });
    answer(large, textOf(2, sizeBytes));
    await large.finish(isDelivered(true));
    const beginning = await begin({ key });
    assert.ok(beginning.kind === 'lost', beginning.kind);
    whys.push(beginning.why);
  }
  assert.deepEqual(whys, ['the bank is full of what is newer or in use', 'the answer is longer than the bank keeps']);
  assert.equal(await bodyOf(await begin({ key: 'small' })), textOf(1, 900));
  assert.equal(bank.stats.usedBytes, 900);
});

test('bank limit, the same content twice takes its room once, and stays until both are gone', async (t) => {
  const { bank, begin, run, reopen, clock } = await openBank(t, await newStore(), { limits: { keepMs: 1000 } });
  const tickets = [await run({ key: 'a' }), await run({ key: 'b' })];
  for (const ticket of tickets) answer(ticket, 'the same picture');
  await Promise.all(tickets.map((ticket) => ticket.finish(isDelivered(true))));
  assert.equal(bank.stats.usedBytes, 16);
  clock.stepWall(500);
  const third = await run({ key: 'c' });
  answer(third, 'the same picture');
  await third.finish(isDelivered(true));
  assert.equal(bank.stats.usedBytes, 16);
  clock.stepWall(500);
  await bank.sweep();
  assert.equal(bank.stats.answers, 1);
  assert.equal(await bodyOf(await begin({ key: 'c' })), 'the same picture');
  assert.equal(await bodyOf(await begin({ key: 'c' }, await reopen())), 'the same picture');
  clock.stepWall(500);
  await bank.sweep();
  assert.equal(bank.stats.usedBytes, 0);
});

test('bank limit, lowered: the next start makes room', async (t) => {
  const { run, begin, reopen, dir } = await openBank(t, await newStore());
  for (const index of [1, 2, 3]) {
    const ticket = await run({ key: `k${index}`, body: `${index}` });
    answer(ticket, textOf(index, 300));
    await ticket.finish(isDelivered(true));
  }
  const small = await reopen({ limits: { totalBytes: 700 } });
  assert.equal(small.stats.usedBytes, 600);
  assert.equal(await bytesIn(dir), 600);
  assert.equal((await begin({ key: 'k1', body: '1' }, small)).kind, 'lost');
  assert.equal(await bodyOf(await begin({ key: 'k3', body: '3' }, small)), textOf(3, 300));
});
