// The calls the service makes for itself on an account: log in, read the subscription.
import type { Dispatcher } from 'undici';
import type { Clock } from '../lib/clock.ts';
import { VERSION } from '../lib/version.ts';
import { readSubscription, type Subscription } from '../novelai/subscription.ts';
import { collect, type Collected } from './collect.ts';
import type { ExchangeFailure } from './exchange-failure.ts';
import type { UpstreamHosts } from './upstream-hosts.ts';

/** Neither NovelAI's name nor a browser's: the service says what it is. NovelAI's edge refuses some library defaults. */
export const USER_AGENT = `novelai-proxy-service/${VERSION}`;

/** Account calls are quick; one that takes longer is as good as failed. */
const ACCOUNT_CALL_MS = 30_000;
const TRIES = 3;

export type LoginResult =
  | { kind: 'ok'; token: string }
  | { kind: 'refused'; why: string } // the e-mail address or password is wrong
  | { kind: 'failed'; why: string };

export type SubscriptionResult =
  | { kind: 'ok'; subscription: Subscription }
  | { kind: 'refused'; why: string } // the token is not valid
  | { kind: 'failed'; why: string };

/** Where and how an account's own calls go. */
export interface AccountRoute {
  hosts: UpstreamHosts;
  dispatcher: Dispatcher;
  /** Whether the account has a proxy of its own: what fails on the way may then be the proxy's fault, and says nothing of a host. */
  isProxied?: boolean;
  clock: Clock;
}

/** Logs in with the access key (contract 2.2, 2.3); the password itself never leaves the process. */
export async function logIn(route: AccountRoute, accessKey: string): Promise<LoginResult> {
  const answer = await call(route, 'POST', '/user/login', {}, Buffer.from(JSON.stringify({ key: accessKey })));
  if (!answer.isAnswer) return { kind: 'failed', why: unreached('login', route, answer.failure) };
  if (answer.status === 401) return { kind: 'refused', why: 'NovelAI refused the e-mail address or password (401)' };
  const token = stringMember(answer.body, 'accessToken');
  if (answer.status < 300 && token !== undefined) return { kind: 'ok', token };
  return { kind: 'failed', why: `NovelAI answered the login with ${describe(answer)}` };
}

/** Reads tier, Anlas and allowance (contract 3.9). */
export async function fetchSubscription(route: AccountRoute, token: string): Promise<SubscriptionResult> {
  const answer = await call(route, 'GET', '/user/subscription', { authorization: `Bearer ${token}` }, null);
  if (!answer.isAnswer) return { kind: 'failed', why: unreached('balance', route, answer.failure) };
  if (answer.status === 401) return { kind: 'refused', why: 'NovelAI refused the token (401)' };
  const subscription = answer.status === 200 ? readSubscription(parseJson(answer.body)) : undefined;
  if (subscription) return { kind: 'ok', subscription };
  return { kind: 'failed', why: `NovelAI answered the balance with ${describe(answer)}` };
}

/** Account calls change nothing and cost nothing, so they may be tried on each host in turn. */
async function call(
  { hosts, dispatcher, isProxied = false, clock }: AccountRoute,
  method: string,
  path: string,
  headers: Record<string, string>,
  body: Buffer | null,
): Promise<Collected> {
  const tried = new Set<string>();
  for (let tryNumber = 1; ; tryNumber += 1) {
    const host = hosts.take(tried);
    tried.add(host.baseUrl);
    const answer = await collect(
      {
        dispatcher,
        baseUrl: host.baseUrl,
        path,
        method,
        headers: {
          'user-agent': USER_AGENT,
          accept: 'application/json',
          ...(body && { 'content-type': 'application/json' }),
          ...headers,
        },
        body,
        limits: { firstByteMs: ACCOUNT_CALL_MS, idleMs: ACCOUNT_CALL_MS, totalMs: ACCOUNT_CALL_MS },
      },
      clock,
    );
    const isHealthy = answer.isAnswer && answer.status < 500;
    const hasReached = answer.isAnswer || answer.failure.wasSent;
    hosts.release(host, isHealthy ? 'success' : hasReached ? 'failure' : isProxied ? 'none' : 'unreachable');
    if (isHealthy || tryNumber >= Math.min(TRIES, hosts.size)) return answer;
  }
}

function unreached(what: string, { isProxied = false }: AccountRoute, { code }: ExchangeFailure): string {
  return `NovelAI could not be reached for the ${what}${isProxied ? " through the account's proxy" : ''} (${code})`;
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}

function stringMember(body: Buffer, name: string): string | undefined {
  const json = parseJson(body);
  if (typeof json !== 'object' || json === null || !(name in json)) return undefined;
  const value: unknown = Reflect.get(json, name);
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function describe({ status, headers, body }: Extract<Collected, { isAnswer: true }>): string {
  const message = stringMember(body, 'message');
  if (message !== undefined) return `${status}: ${message}`;
  return String(headers['content-type']).includes('html')
    ? `${status} and a web page (blocked at its edge?)`
    : String(status);
}
