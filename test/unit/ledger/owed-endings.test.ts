// Endings that the database could not take at once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OwedEndings } from '../../../src/ledger/owed-endings.ts';
import { StoreUnavailableError } from '../../../src/store/store-error.ts';
import { FakeClock } from './fake-clock.ts';

const settle = () => new Promise((resolve) => setImmediate(resolve));

function newDatabase() {
  const written: string[] = [];
  const state = { isUp: true, tries: 0 };
  const write = (text: string) => async () => {
    state.tries += 1;
    await settle();
    if (!state.isUp) throw new StoreUnavailableError('disk_full');
    written.push(text);
  };
  return { written, state, write };
}

test('an ending while the database is down, is written when it is back, with growing pauses between the tries', async () => {
  const clock = new FakeClock(0);
  const owed = new OwedEndings(clock);
  const { written, state, write } = newDatabase();
  state.isUp = false;
  const runs = [owed.run(write('a')), owed.run(write('b'))];
  for (let seconds = 0; seconds < 100; seconds += 1) {
    await settle();
    await settle();
    clock.advance(1000);
  }
  assert.equal(owed.count, 2);
  assert.ok(state.tries >= 10 && state.tries <= 30, `${state.tries} tries in 100 seconds`);
  state.isUp = true;
  clock.advance(10_000);
  await Promise.all(runs);
  assert.deepEqual(written, ['a', 'b']);
  assert.equal(owed.count, 0);
  assert.equal(clock.pendingTimers, 0);
});

test('a fault of the ending itself, is not tried again', async () => {
  const clock = new FakeClock(0);
  const owed = new OwedEndings(clock);
  await assert.rejects(
    owed.run(() => Promise.reject(new TypeError('on purpose'))),
    TypeError,
  );
  assert.equal(owed.count, 0);
});

test('closing, tries once more and gives up what still fails', async () => {
  const clock = new FakeClock(0);
  const owed = new OwedEndings(clock);
  const first = newDatabase();
  first.state.isUp = false;
  const second = newDatabase();
  second.state.isUp = false;
  const writtenAfterAll = owed.run(first.write('a'));
  const givenUp = owed.run(second.write('b'));
  await settle();
  await settle();
  first.state.isUp = true;
  await Promise.all([
    owed.close(),
    writtenAfterAll,
    assert.rejects(givenUp, (error) => error instanceof StoreUnavailableError && error.fault === 'closed'),
  ]);
  assert.deepEqual(first.written, ['a']);
  assert.equal(clock.pendingTimers, 0);
});
