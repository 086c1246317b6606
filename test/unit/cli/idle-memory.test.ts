// Tests of when memory is given back: once after work, never during it, never again for nothing.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { freeMemoryWhenIdle } from '../../../src/cli/idle-memory.ts';

const MIB = 1024 ** 2;

function setUp({ mock }: TestContext) {
  mock.timers.enable({ apis: ['setInterval'] });
  const now = { running: 0, cpuUs: 800_000, heapBytes: 40 * MIB, collections: 0 };
  const stop = freeMemoryWhenIdle({
    service: {
      get running() {
        return now.running;
      },
    },
    gc: async () => {
      now.collections += 1;
      now.cpuUs += 150_000;
    },
    cpuUs: () => now.cpuUs,
    heapBytes: () => now.heapBytes,
  });
  /** Some seconds, in each of which so much CPU time is used. */
  const pass = async (seconds: number, usUsedInEach = 1000) => {
    for (let second = 0; second < seconds; second += 1) {
      now.cpuUs += usUsedInEach;
      mock.timers.tick(1000);
      await Promise.resolve();
    }
  };
  return { now, pass, stop };
}

test('idle memory, given back once after the start, and not again while there is nothing to do', async (context) => {
  const { now, pass } = setUp(context);
  await pass(3, 200_000);
  assert.equal(now.collections, 0);
  await pass(6);
  assert.equal(now.collections, 1);
  await pass(400);
  assert.equal(now.collections, 1);
});

test('idle memory, given back again long after work, but not in a pause of it', async (context) => {
  const { now, pass } = setUp(context);
  await pass(6);
  assert.equal(now.collections, 1);
  now.running = 1;
  await pass(60, 50_000);
  await pass(700);
  assert.equal(now.collections, 1);
  now.running = 0;
  await pass(500);
  assert.equal(now.collections, 1);
  await pass(3, 200_000);
  await pass(500);
  assert.equal(now.collections, 1);
  await pass(200);
  assert.equal(now.collections, 2);
});

test('idle memory, neither a busy service nor a long queue is stopped for it', async (context) => {
  const { now, pass, stop } = setUp(context);
  await pass(30, 30_000);
  now.heapBytes = 200 * MIB;
  await pass(30);
  assert.equal(now.collections, 0);
  now.heapBytes = 40 * MIB;
  stop();
  await pass(30);
  assert.equal(now.collections, 0);
});
