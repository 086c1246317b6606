// What an answer of NovelAI means for the account and for the request: the table of design section 5, as one pure function.
import type { ExchangeFailure } from '../upstream/exchange-failure.ts';

/** What the answer says about the account. */
export type AccountEffect =
  | 'success' // it works
  | 'untouched' // the answer speaks of the request only
  | 'token_refused' // the token is no longer valid
  | 'blocked' // NovelAI's edge turned the call away
  | 'cannot_pay' // no Anlas, no allowance or no subscription
  | 'locked' // another generation of the account is running
  | 'suspect' // it may be unwell: counts towards ejection
  | 'unreached'; // nothing got through to NovelAI

/** What becomes of the request. Everything but `pass` is allowed only with proof that nothing was charged (I2). */
export type RequestAction =
  | 'pass' // the answer goes to the client as it is
  | 'renew_token' // once more with a new token, then another account
  | 'other_account'
  | 'wait_again' // back into the queue, in its old place
  | 'other_host' // the next host of the same account
  | 'fail'; // there is no answer to pass, and it must not be sent again

export interface Ruling {
  account: AccountEffect;
  action: RequestAction;
}

/** The head of an answer, as far as it decides. */
export interface AnswerHead {
  status: number;
  isHtml: boolean;
}

/** Rules on an answer by its head, before its body is read (contract section 5). */
export function ruleOnAnswer({ status, isHtml }: AnswerHead): Ruling {
  if (status === 401) return { account: 'token_refused', action: 'renew_token' };
  if (status === 403)
    return isHtml
      ? { account: 'blocked', action: 'other_account' }
      : { account: 'token_refused', action: 'renew_token' };
  if (status === 402) return { account: 'cannot_pay', action: 'other_account' };
  if (status === 409 || status === 429) return { account: 'locked', action: 'wait_again' };
  if (status >= 500) return { account: 'suspect', action: 'pass' };
  if (status >= 400) return { account: 'untouched', action: 'pass' };
  return { account: 'success', action: 'pass' };
}

/** Rules on an exchange that broke. Only a failure before anything was sent is proof that nothing was charged. */
export function ruleOnFailure({ kind, wasSent }: ExchangeFailure): Ruling {
  if (kind === 'aborted' || kind === 'body_lost') return { account: 'untouched', action: 'fail' };
  return wasSent ? { account: 'suspect', action: 'fail' } : { account: 'unreached', action: 'other_host' };
}
