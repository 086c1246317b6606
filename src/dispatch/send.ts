// One send to NovelAI: chooses the host, runs one exchange, and rules on how it went. Never sends twice by itself unless the
// first try provably reached nobody.
import type { IncomingHttpHeaders } from 'node:http';
import type { Account } from '../accounts/account.ts';
import { ruleOnAnswer, ruleOnFailure, type Ruling } from '../accounts/outcome-table.ts';
import type { HostRole } from '../config/config.ts';
import type { Clock } from '../lib/clock.ts';
import { startExchange, type Exchange, type ExchangeRequest } from '../upstream/exchange.ts';
import type { ExchangeFailure } from '../upstream/exchange-failure.ts';
import type { HostVerdict, UpstreamHosts } from '../upstream/upstream-hosts.ts';
import type { RelayedRequest } from './generation-request.ts';

export interface SendDeps {
  clock: Clock;
  hosts: Readonly<Record<HostRole, UpstreamHosts>>;
  limits: ExchangeRequest['limits'];
}

/** Takes the answer as it arrives, once it is certain that this answer is the one for the client. */
export interface AnswerReceiver {
  onHead(status: number, headers: IncomingHttpHeaders): void;
  /** Gives false when NovelAI should pause. */
  onData(chunk: Buffer): boolean;
  /** The answer is whole. In the same turn as its last bytes, so that both go to the client in one write. */
  onEnd(): void;
}

/** An answer that was not passed on, because another try may bring a better one; kept in case none does. */
export interface HeldAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

export interface SendResult {
  ruling: Ruling;
  status?: number | undefined;
  headers?: IncomingHttpHeaders | undefined;
  /** Whether the answer is a web page: it then comes from NovelAI's edge, not from NovelAI. */
  isHtml?: boolean | undefined;
  /** Set when the exchange broke. */
  failure?: ExchangeFailure | undefined;
  /** Set when the answer was kept back. */
  held?: HeldAnswer | undefined;
  baseUrl: string;
  /** Monotonic milliseconds at which the request went to a connection; undefined when it never did. */
  sentMs?: number | undefined;
  endedMs: number;
}

export interface SendOptions {
  account: Account;
  token: string;
  body: ExchangeRequest['body'];
  receiver: AnswerReceiver;
  onSent: () => void;
  /** Called as each exchange starts, so that the caller can abort or resume it. */
  onExchange: (exchange: Exchange) => void;
}

/** Error bodies that are kept back are small; more than this of one is dropped. */
const HELD_BODY_LIMIT_BYTES = 64 * 1024;
/** Tries on other hosts after a connection that could not be made (design section 5). */
const OTHER_HOST_TRIES = 2;

/**
 * Sends the request with one account's token. Resolves when the exchange has truly ended; never throws. Where no host can be
 * reached and the account has a proxy of its own, that is the account's trouble, and other accounts may fare better.
 */
export async function send(request: RelayedRequest, options: SendOptions, deps: SendDeps): Promise<SendResult> {
  const hosts = deps.hosts[request.role];
  const { isProxied = false } = options.account.route;
  const tried = new Set<string>();
  for (let tryNumber = 0; ; tryNumber += 1) {
    const host = hosts.take(tried);
    tried.add(host.baseUrl);
    const result = await exchangeOnce(request, host.baseUrl, options, deps);
    const verdict = hostVerdict(result);
    hosts.release(host, isProxied && verdict === 'unreachable' ? 'none' : verdict);
    if (result.ruling.action !== 'other_host' || !request.sink.isOpen) return result;
    if (tryNumber >= OTHER_HOST_TRIES)
      return isProxied ? { ...result, ruling: { account: 'unreached', action: 'other_account' } } : result;
  }
}

function exchangeOnce(
  request: RelayedRequest,
  baseUrl: string,
  { account, token, body, receiver, onSent, onExchange }: SendOptions,
  { clock, limits }: SendDeps,
): Promise<SendResult> {
  return new Promise((resolve) => {
    let head: { status: number; headers: IncomingHttpHeaders } | undefined;
    let ruling: Ruling | undefined;
    let sentMs: number | undefined;
    const heldChunks: Buffer[] = [];
    let heldBytes = 0;
    const exchange = startExchange(
      {
        dispatcher: account.route.dispatcher,
        baseUrl,
        path: request.path,
        method: request.method,
        headers: { ...request.headers, authorization: `Bearer ${token}` },
        body,
        limits,
      },
      {
        onSent() {
          sentMs = clock.monotonicMs();
          onSent();
        },
        onHead(status, headers) {
          head = { status, headers };
          ruling = ruleOnAnswer({ status, isHtml: isWebPage(headers) });
          if (ruling.action === 'pass') receiver.onHead(status, headers);
        },
        onData(chunk) {
          if (ruling?.action === 'pass') return receiver.onData(chunk);
          heldBytes += chunk.length;
          if (heldBytes <= HELD_BODY_LIMIT_BYTES) heldChunks.push(chunk);
          return true;
        },
        onEnd() {
          if (ruling?.action === 'pass') receiver.onEnd();
          finish({ ruling: ruling ?? { account: 'suspect', action: 'fail' } });
        },
        onFailure(failure) {
          // A refusal's head is proof enough, whatever became of its body.
          const isRefusal = ruling && ruling.action !== 'pass' && failure.kind !== 'aborted';
          finish({ ruling: isRefusal && ruling ? ruling : ruleOnFailure(failure), failure });
        },
      },
      clock,
    );
    onExchange(exchange);

    function finish(end: { ruling: Ruling; failure?: ExchangeFailure }): void {
      const isHeld = head && end.ruling.action !== 'pass' && end.ruling.action !== 'fail';
      resolve({
        ...end,
        status: head?.status,
        headers: head?.headers,
        isHtml: head && isWebPage(head.headers),
        held: isHeld && head ? { ...head, body: Buffer.concat(heldChunks) } : undefined,
        baseUrl,
        sentMs,
        endedMs: clock.monotonicMs(),
      });
    }
  });
}

function isWebPage(headers: IncomingHttpHeaders): boolean {
  return String(headers['content-type']).includes('text/html');
}

/** What the send says about the host. Refusals and clients' own faults show that it works. */
function hostVerdict({ ruling, failure }: SendResult): HostVerdict {
  if (failure?.kind === 'aborted' || failure?.kind === 'body_lost') return 'none';
  switch (ruling.account) {
    case 'suspect':
      return 'failure';
    case 'unreached':
      return 'unreachable';
    default:
      return 'success';
  }
}
