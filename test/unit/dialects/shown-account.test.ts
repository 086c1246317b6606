// Checks what a client is told of "its" account, from the accounts there are and its own budget.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AccountPool } from '../../../src/accounts/account-pool.ts';
import type { Client } from '../../../src/clients/client-registry.ts';
import { subscriptionOf } from '../../../src/dialects/native/account-shapes.ts';
import { NO_BUDGETS, shownAccount } from '../../../src/dialects/native/shown-account.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import type { Subscription } from '../../../src/novelai/subscription.ts';

const OPUS: Subscription = {
  tier: 3,
  isActive: true,
  expiresAtUnix: 2_000_000_000,
  fixedAnlas: 700,
  purchasedAnlas: 50,
  allowance: { percent: 40, isNegative: false, secondsUntilNextPercent: 9 },
};
const SCROLL: Subscription = {
  tier: 2,
  isActive: true,
  expiresAtUnix: 2_100_000_000,
  fixedAnlas: 100,
  purchasedAnlas: 0,
};
const client = { name: 'bot' } as Client;

interface KnownAccount {
  subscription?: Subscription;
  isHealthy?: boolean;
}

function show(known: readonly KnownAccount[], budgetAnlas?: number) {
  const accounts = known.map(({ subscription, isHealthy = true }) => ({ balance: { subscription }, isHealthy }));
  return shownAccount(client, {
    pool: { accounts } as unknown as AccountPool,
    balances: budgetAnlas === undefined ? NO_BUDGETS : { availableAnlas: () => Promise.resolve(budgetAnlas) },
    clock: { ...systemClock, wallMs: () => 1_800_000_000_000 },
  });
}

test('shown account, all Anlas added up, the best tier, end and allowance', async () => {
  assert.deepEqual(await show([{ subscription: SCROLL }, { subscription: OPUS }]), {
    name: 'bot',
    tier: 3,
    isActive: true,
    expiresAtUnix: 2_100_000_000,
    anlas: 850,
    allowance: OPUS.allowance,
  });
});

test("shown account, a client's own budget is the most it is told of", async () => {
  for (const [budget, shown] of [
    [30, 30],
    [30.9, 30],
    [5000, 850],
    [0, 0],
    [-5, 0],
  ] as const)
    assert.equal((await show([{ subscription: SCROLL }, { subscription: OPUS }], budget)).anlas, shown);
});

test('shown account, accounts that do not work are not counted, unless there are no others', async () => {
  const known = [{ subscription: OPUS, isHealthy: false }, { subscription: SCROLL }];
  assert.deepEqual((({ tier, anlas, allowance }) => ({ tier, anlas, allowance }))(await show(known)), {
    tier: 2,
    anlas: 100,
    allowance: undefined,
  });
  assert.equal((await show([{ subscription: OPUS, isHealthy: false }])).anlas, 750);
});

test('shown account, an ended Opus beside a lesser one that goes on: the lesser tier', async () => {
  const ended = { ...OPUS, isActive: false };
  const both = await show([{ subscription: ended }, { subscription: SCROLL }]);
  assert.deepEqual([both.tier, both.isActive, both.allowance], [2, true, undefined]);
  const alone = await show([{ subscription: ended }]);
  assert.deepEqual([alone.tier, alone.isActive], [3, false]);
});

test('shown account, the allowance that is not used up goes before one with a higher percentage', async () => {
  const exhausted = { ...OPUS, allowance: { percent: 90, isNegative: true, secondsUntilNextPercent: 1 } };
  assert.equal((await show([{ subscription: exhausted }, { subscription: OPUS }])).allowance?.percent, 40);
});

test('shown account, no balance read yet: enough to let a client begin, within its budget', async () => {
  for (const known of [[], [{}]] as const) {
    const account = await show(known);
    assert.deepEqual([account.tier, account.isActive, account.anlas], [3, true, 10_000]);
    assert.equal(account.expiresAtUnix, 1_800_000_000 + 30 * 24 * 3600);
  }
  assert.equal((await show([], 12)).anlas, 12);
});

test('subscription, without an allowance there is no usage member', async () => {
  assert.ok(!('usage' in subscriptionOf(await show([{ subscription: SCROLL }]))));
  assert.ok('usage' in subscriptionOf(await show([{ subscription: OPUS }])));
});

test('subscription, old perks by tier', async () => {
  const perks = async (tier: number) => subscriptionOf(await show([{ subscription: { ...SCROLL, tier } }])).perks;
  assert.equal((await perks(3)).unlimitedImageGeneration, true);
  assert.equal((await perks(1)).unlimitedImageGeneration, false);
  assert.equal((await perks(1)).contextTokens, 4096);
  assert.equal((await perks(0)).imageGeneration, false);
});
