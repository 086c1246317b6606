// What is answered to requests that no account can serve as things stand.
import type { Outlook } from '../accounts/account-pool.ts';
import { ProxyError } from '../lib/proxy-error.ts';

/** When to try again while no account can log in. */
const NO_ACCOUNT_RETRY_MS = 10_000;

/** Gives the error for an outlook that is not servable: the reason, and when another try makes sense. */
export function noOutlookError({ reason, why }: Extract<Outlook, { isServable: false }>): ProxyError {
  if (reason === 'cannot_pay') return new ProxyError('upstream_not_enough_anlas', { message: why });
  return new ProxyError('upstream_no_account', {
    message: `No NovelAI account can serve requests at the moment (${why}).`,
    retryAfterMs: NO_ACCOUNT_RETRY_MS,
  });
}
