// Tests of the watch over accounts: what counts as standing idle, and for how long an account is in use.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Account } from '../../../src/accounts/account.ts';
import { LeaseWatch } from '../../../src/dispatch/lease-watch.ts';
import type { Lease } from '../../../src/dispatch/work-queue.ts';
import { FakeClock } from '../../support/fake-clock.ts';

interface Told {
  taken: string[];
  freed: string[];
  gapsMs: number[];
}

function watching() {
  const clock = new FakeClock();
  const told: Told = { taken: [], freed: [], gapsMs: [] };
  const watch = new LeaseWatch(
    {
      slotTaken: (name) => void told.taken.push(name),
      slotFreed: (name) => void told.freed.push(name),
      dispatchGap: (ms) => void told.gapsMs.push(ms),
    },
    clock,
  );
  /** `onRelease` runs where the queue would hand the slot on. */
  const lease = (onRelease: () => void = () => undefined): Lease => ({
    account: { name: 'acc' } as Account,
    kind: 'image',
    waitedMs: 0,
    release: onRelease,
  });
  return { clock, told, watch, lease };
}

test('gap, is the time from the release that handed a slot on to the next send, once', async () => {
  const { clock, told, watch, lease } = watching();
  const next: Lease[] = [];
  const first = watch.watch(lease(() => void next.push(watch.watch(lease()))));
  first.onSent?.();
  await clock.advance(5000);
  first.release();
  await clock.advance(7);
  next[0]?.onSent?.();
  await clock.advance(100);
  next[0]?.onSent?.();
  assert.deepEqual(told.gapsMs, [7]);
});

test('gap, work that comes to an idle account has none', async () => {
  const { clock, told, watch, lease } = watching();
  watch.watch(lease()).release();
  await clock.advance(5000);
  watch.watch(lease()).onSent?.();
  assert.deepEqual(told.gapsMs, []);
});

test('use, each lease is taken and given back once, however often it is released', () => {
  const { told, watch, lease } = watching();
  const watched = watch.watch(lease());
  watched.release();
  watched.release({ isUsed: false });
  assert.deepEqual([told.taken, told.freed], [['acc'], ['acc']]);
});
