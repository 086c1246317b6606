// The first step: refuses at once what could not be served anyway, so that nobody waits for nothing.
import { ProxyError } from '../lib/proxy-error.ts';
import { noOutlookError } from './no-outlook-error.ts';
import type { Passage } from './passage.ts';

/** @throws {ProxyError} when no account can serve this request, now or ever. */
export function admit({ request: { work, slot }, deps: { pool } }: Passage): void {
  if (work.refusal !== undefined) throw new ProxyError('policy_impossible', { message: work.refusal });
  const outlook = pool.outlook(work, slot);
  if (outlook.isServable) return;
  // Somebody may have bought Anlas meanwhile.
  if (outlook.reason === 'cannot_pay') for (const account of pool.accounts) void account.balance.refreshIfStale();
  throw noOutlookError(outlook);
}
