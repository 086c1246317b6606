// What an account was sent before a crash may still be running at NovelAI: the next start lets it rest as long as that can take (I1).
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { SlotKind } from '../../src/accounts/work-class.ts';
import { NO_LIMITS } from '../../src/ledger/budgets.ts';
import { Ledger } from '../../src/ledger/ledger.ts';
import type { RequestToReserve } from '../../src/ledger/attempt.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { openStore } from '../../src/store/open-store.ts';
import { startMoneyStack } from '../support/money-stack.ts';

type Sent = Pick<RequestToReserve, 'endpoint'> & Partial<RequestToReserve> & { account?: string; end?: 'settled' };

/** Leaves a data folder as a process does that dies after these sends, starts the service on it, and gives each account's rests. */
async function restsAfter(t: TestContext, sends: readonly Sent[], limit = '180s') {
  const dataDir = mkdtempSync(join(tmpdir(), 'proxy-crashed-'));
  t.after(() => rmSync(dataDir, { recursive: true, force: true }));
  const store = await openStore({ dataDir });
  const ledger = await Ledger.open({ store, clock: systemClock });
  for (const [index, { account = 'acc-1', end, ...request }] of sends.entries()) {
    const requestId = `r${index}`;
    const client = { clientId: 'client', clientName: 'client' };
    await ledger.reserve({ requestId, ...client, costAnlas: 20, images: 1, limits: NO_LIMITS, ...request });
    await ledger.markSent(requestId, { account, quotedAnlas: 20, limits: NO_LIMITS });
    if (end) await ledger.settle(requestId, { outcome: 'succeeded', chargedAnlas: 20 });
  }
  await store.close();
  const stack = await startMoneyStack({ dataDir, accounts: [{}, {}], environment: { UPSTREAM_TIMEOUT: limit } });
  t.after(() => stack.close());
  return (name: string, kind: SlotKind): number => {
    const account = stack.service.pool.accounts.find((candidate) => candidate.name === name);
    const { state, untilMs } = account?.availability(kind) ?? {};
    return state === 'cooling' ? ((untilMs ?? 0) - systemClock.monotonicMs()) / 1000 : 0;
  };
}

const PICTURE = { endpoint: 'generate-image', model: 'nai-diffusion-4-5-full', width: 832, height: 1216, steps: 23 };

test('a picture that was sent, its account alone rests, and for pictures only', async (t) => {
  const rest = await restsAfter(t, [PICTURE]);
  // Such a picture takes 3.2-3.7 s (contract 3.1).
  assert.ok(rest('acc-1', 'image') > 3.7, `${rest('acc-1', 'image')} s`);
  assert.equal(rest('acc-1', 'text'), 0);
  assert.equal(rest('acc-2', 'image'), 0);
});

test('a picture, and a text after it: both rest, the picture is not forgotten', async (t) => {
  const rest = await restsAfter(t, [PICTURE, { endpoint: 'text-generate', model: 'kayra-v1', steps: 100 }]);
  assert.ok(rest('acc-1', 'image') > 3.7, `${rest('acc-1', 'image')} s`);
  assert.ok(rest('acc-1', 'text') > 3, `${rest('acc-1', 'text')} s`);
});

test('a background that was being removed, the account rests as long as that takes', async (t) => {
  const rest = await restsAfter(t, [{ endpoint: 'augment-image', action: 'bg-removal', width: 64, height: 64 }]);
  // 14.6 s were seen (contract 3.5).
  assert.ok(rest('acc-1', 'image') > 15, `${rest('acc-1', 'image')} s`);
});

test('a tool and a text of unknown length, the account rests for long ones', async (t) => {
  const rest = await restsAfter(t, [
    { endpoint: 'augment-image', action: 'lineart', width: 832, height: 1216 },
    { endpoint: 'text-generate', model: 'kayra-v1' },
  ]);
  assert.ok(rest('acc-1', 'image') > 5, `${rest('acc-1', 'image')} s`);
  assert.ok(rest('acc-1', 'text') > 5, `${rest('acc-1', 'text')} s`);
});

test('what had ended, nobody rests for it', async (t) => {
  const rest = await restsAfter(t, [{ ...PICTURE, end: 'settled' }]);
  assert.equal(rest('acc-1', 'image'), 0);
});

test('no rest is longer than an exchange may last', async (t) => {
  const rest = await restsAfter(t, [{ ...PICTURE, width: 2048, height: 1536, steps: 50, samples: 4 }], '9s');
  assert.ok(rest('acc-1', 'image') > 5 && rest('acc-1', 'image') <= 9, `${rest('acc-1', 'image')} s`);
});
