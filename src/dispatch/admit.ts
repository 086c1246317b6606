// The first step: refuses at once what could not be served anyway, so that nobody waits for nothing.
import { ProxyError } from '../lib/proxy-error.ts';
import type { Passage } from './passage.ts';

/** When to try again while no account can log in. */
const NO_ACCOUNT_RETRY_MS = 10_000;

/** @throws {ProxyError} when no account can serve this request, now or ever. */
export function admit({ request: { work, slot }, deps: { pool } }: Passage): void {
  if (work.refusal !== undefined) throw new ProxyError('policy_impossible', { message: work.refusal });
  const outlook = pool.outlook(work, slot);
  if (outlook.isServable) return;
  if (outlook.reason === 'cannot_pay') {
    // Somebody may have bought Anlas meanwhile.
    for (const account of pool.accounts) void account.balance.refreshIfStale();
    throw new ProxyError('upstream_not_enough_anlas', { message: outlook.why });
  }
  throw new ProxyError('upstream_no_account', {
    message: `No NovelAI account can serve requests at the moment (${outlook.why}).`,
    retryAfterMs: NO_ACCOUNT_RETRY_MS,
  });
}
