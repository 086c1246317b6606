// What a client is told of "its" account: the accounts' together, as far as the client's own budget reaches.
import type { AccountPool } from '../../accounts/account-pool.ts';
import type { Client } from '../../clients/client-registry.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Subscription } from '../../novelai/subscription.ts';
import type { ShownAccount } from './account-shapes.ts';

/** How much of the accounts' Anlas a client may spend. The ledger answers this where clients have budgets. */
export interface BalanceView {
  /** Anlas left of the client's own budget; Infinity where it has none. */
  availableAnlas(client: Client): number | Promise<number>;
}

/** No client has a budget of its own. */
export const NO_BUDGETS: BalanceView = { availableAnlas: () => Infinity };

/** Shown while no account's balance could be read: a client that counts for itself should not stop for that. */
const UNREAD_ANLAS = 10_000;
const UNREAD_LIFE_SECONDS = 30 * 24 * 3600;
const OPUS_TIER = 3;

/**
 * Gives what to show a client: the Anlas of all working accounts added up, at most its own budget; the best of their tiers and
 * V5 allowances, since its requests go to whichever account serves them best.
 */
export async function shownAccount(
  client: Client,
  { pool, balances, clock }: { pool: AccountPool; balances: BalanceView; clock: Clock },
): Promise<ShownAccount> {
  const budgetAnlas = await balances.availableAnlas(client);
  const subscriptions = knownSubscriptions(pool);
  if (subscriptions.length === 0)
    return {
      name: client.name,
      tier: OPUS_TIER,
      isActive: true,
      expiresAtUnix: Math.floor(clock.wallMs() / 1000) + UNREAD_LIFE_SECONDS,
      anlas: shownAnlas(UNREAD_ANLAS, budgetAnlas),
    };
  const totalAnlas = subscriptions.reduce(
    (sum, { fixedAnlas, purchasedAnlas }) => sum + fixedAnlas + purchasedAnlas,
    0,
  );
  const active = subscriptions.filter(({ isActive }) => isActive);
  return {
    name: client.name,
    tier: greatest(active.length > 0 ? active : subscriptions, ({ tier }) => tier),
    isActive: active.length > 0,
    expiresAtUnix: greatest(subscriptions, ({ expiresAtUnix }) => expiresAtUnix),
    anlas: shownAnlas(totalAnlas, budgetAnlas),
    allowance: bestAllowance(active),
  };
}

/** Of the accounts in working order; of all, where none is. */
function knownSubscriptions({ accounts }: AccountPool): Subscription[] {
  const known = (healthyOnly: boolean) =>
    accounts.flatMap(({ balance, isHealthy }) =>
      balance.subscription && (isHealthy || !healthyOnly) ? [balance.subscription] : [],
    );
  const healthy = known(true);
  return healthy.length > 0 ? healthy : known(false);
}

function shownAnlas(accountsAnlas: number, budgetAnlas: number): number {
  return Math.max(0, Math.floor(Math.min(accountsAnlas, budgetAnlas)));
}

function bestAllowance(active: readonly Subscription[]): ShownAccount['allowance'] {
  return active
    .flatMap(({ tier, allowance }) => (tier >= OPUS_TIER && allowance ? [allowance] : []))
    .toSorted((a, b) => Number(a.isNegative) - Number(b.isNegative) || b.percent - a.percent)[0];
}

function greatest(subscriptions: readonly Subscription[], of: (subscription: Subscription) => number): number {
  return Math.max(...subscriptions.map(of));
}
