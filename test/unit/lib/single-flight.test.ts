// Tests of shared runs of one action.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { singleFlight } from '../../../src/lib/single-flight.ts';

function countedAction<T>() {
  const ends: { resolve: (value: T) => void; reject: (error: Error) => void }[] = [];
  const run = singleFlight(
    () =>
      new Promise<T>((resolve, reject) => {
        ends.push({ resolve, reject });
      }),
  );
  return { run, ends };
}

test('single flight, a hundred callers at once share one run and its value', async () => {
  const { run, ends } = countedAction<number>();
  const calls = Array.from({ length: 100 }, () => run());
  assert.equal(ends.length, 1);
  ends[0]!.resolve(7);
  assert.deepEqual(new Set(await Promise.all(calls)), new Set([7]));
});

test('single flight, a failure reaches every caller and the next call starts anew', async () => {
  const { run, ends } = countedAction<number>();
  const calls = [run(), run()];
  ends[0]!.reject(new Error('no'));
  for (const result of await Promise.allSettled(calls)) assert.equal(result.status, 'rejected');
  const next = run();
  assert.equal(ends.length, 2);
  ends[1]!.resolve(1);
  assert.equal(await next, 1);
});

test('single flight, a caller that the end of the run wakes gets a run of its own', async () => {
  const { run, ends } = countedAction<number>();
  const after = run().then(() => run());
  ends[0]!.resolve(1);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(ends.length, 2);
  ends[1]!.resolve(2);
  assert.equal(await after, 2);
});

test('single flight, an action that calls it again while starting joins itself instead of starting twice', async () => {
  let starts = 0;
  let inner: Promise<number> | undefined;
  const run: () => Promise<number> = singleFlight(async () => {
    starts += 1;
    if (starts < 3) inner = run();
    return starts;
  });
  assert.equal(await run(), 1);
  assert.equal(await inner, 1);
  assert.equal(starts, 1);
});

test('single flight, an action that throws instead of rejecting rejects and frees the way', async () => {
  let starts = 0;
  const run = singleFlight((): Promise<number> => {
    starts += 1;
    if (starts === 1) throw new Error('at once');
    return Promise.resolve(starts);
  });
  await assert.rejects(run(), /at once/);
  assert.equal(await run(), 2);
});
