// Tries one NovelAI account out: its login, its subscription, and what to do where something is amiss.
import type { AccountConfig } from '../config/config.ts';
import { deriveAccessKey } from '../novelai/access-key.ts';
import { recogniseError } from '../novelai/error-form.ts';
import type { Subscription } from '../novelai/subscription.ts';
import { fetchSubscription, logIn, type AccountRoute } from '../upstream/account-api.ts';

/** One thing that was looked at. */
export interface Finding {
  level: 'ok' | 'warn' | 'fault';
  what: string;
  detail: string;
  /** What to do about it; absent when all is well. */
  advice?: string | undefined;
}

export interface AccountFinding extends Finding {
  subscription?: Subscription | undefined;
}

const TIERS = ['Paper', 'Tablet', 'Scroll', 'Opus'] as const;

/** Logs in (or tries the token) and reads the subscription. Never throws; makes no generation and costs nothing. */
export async function checkAccount(account: AccountConfig, route: AccountRoute): Promise<AccountFinding> {
  const what = `account ${account.name}`;
  const { token: given, login } = account;
  const byToken = given === undefined ? undefined : await fetchSubscription(route, given);
  if (byToken?.kind === 'ok') return findingOf(what, 'token works', byToken.subscription);
  if (byToken?.kind === 'failed') return { level: 'fault', what, ...troubleOf(byToken.why) };
  if (!login)
    return {
      level: 'fault',
      what,
      detail: 'NovelAI refused the token (401)',
      advice: 'Make a new persistent token at novelai.net (account settings), and give that one.',
    };
  const loggedIn = await logIn(route, await deriveAccessKey(login.email, login.password));
  if (loggedIn.kind === 'refused')
    return {
      level: 'fault',
      what,
      detail: loggedIn.why,
      advice: 'Log in with them at novelai.net; correct them here. Capital letters in the address count.',
    };
  if (loggedIn.kind === 'failed') return { level: 'fault', what, ...troubleOf(loggedIn.why) };
  const result = await fetchSubscription(route, loggedIn.token);
  if (result.kind === 'ok') return findingOf(what, 'logged in', result.subscription);
  return { level: 'fault', what, ...troubleOf(result.why) };
}

function findingOf(what: string, how: string, subscription: Subscription): AccountFinding {
  const { tier, isActive, fixedAnlas, purchasedAnlas, allowance } = subscription;
  const anlas = fixedAnlas + purchasedAnlas;
  const facts = [
    how,
    `${TIERS[tier] ?? `tier ${tier}`}${isActive ? '' : ' (not active)'}`,
    `${anlas.toLocaleString('en')} Anlas`,
    ...(allowance ? [`V5 allowance ${allowance.percent} %`] : []),
  ];
  const finding = { what, detail: facts.join(', '), subscription };
  if (!isActive && anlas === 0)
    return {
      ...finding,
      level: 'warn',
      advice: 'It can generate nothing: renew the subscription or buy Anlas at novelai.net.',
    };
  if (tier >= 3 && !isActive)
    return { ...finding, level: 'warn', advice: 'The subscription has ended, so that every image costs Anlas.' };
  if (allowance?.isNegative)
    return {
      ...finding,
      level: 'warn',
      advice: 'The V5 allowance is used up: V5 images cost Anlas until it has refilled.',
    };
  return { ...finding, level: 'ok' };
}

/** What a sentence of NovelAI, or of the way to it, calls for. */
export function troubleOf(why: string): { detail: string; advice: string } {
  const sentence = /^.*?\b\d{3}: (.+)$/.exec(why)?.[1] ?? why;
  if (recogniseError(sentence) === 'moved-host')
    return {
      detail: why,
      advice:
        'NovelAI has moved this to another host: update the service, or set NOVELAI_IMAGE_URL to the new address.',
    };
  if (/web page/.test(why))
    return {
      detail: why,
      advice: "NovelAI's edge blocks this address: wait, or send this account through another one (proxy).",
    };
  if (/could not be reached/.test(why))
    return {
      detail: why,
      advice: 'Look at the findings about the hosts; behind a firewall, give the account a proxy.',
    };
  return { detail: why, advice: 'Try again in some minutes; if it stays, look whether novelai.net itself works.' };
}
