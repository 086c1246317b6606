// One attempt on one account: sends, passes the answer on as it comes, and applies to the account what the answer says of it.
import { createHash } from 'node:crypto';
import type { AccountEffect } from '../accounts/outcome-table.ts';
import { afterPatiently } from '../lib/patient-timer.ts';
import type { RelayedRequest } from './generation-request.ts';
import { ownHeaders, type Passage } from './passage.ts';
import { passedHeaders, Relay } from './relay.ts';
import { send, type SendResult } from './send.ts';
import type { Lease } from './work-queue.ts';

export interface Attempt extends SendResult {
  /** Carries the answer where it goes to the client. */
  relay: Relay;
}

/** A header beyond all measure must not take an account out of use until the next restart. */
const LONGEST_RETRY_AFTER_MS = 3_600_000;
/** A connection cut from this side takes a moment to be noticed at the other. */
const NOTICE_MS = 500;

/** Sends with the lease's account. Resolves when the exchange with NovelAI has truly ended; the client may still be reading. */
export async function attempt(passage: Passage, lease: Lease, token: string): Promise<Attempt> {
  const { request, deps, record } = passage;
  const { account } = lease;
  const body = request.body?.forSending() ?? null;
  const relay = new Relay(request.sink, deps.readAhead, request.tap);
  let stopDrain: () => void = () => undefined;
  let hasEnded = false;
  account.onSend();
  const result = await send(
    request,
    {
      account,
      token,
      body,
      onSent() {
        record.sends += 1;
        lease.onSent?.();
      },
      onExchange(exchange) {
        relay.onRoom = () => exchange.resume();
        request.sink.onGone(() => {
          if (hasEnded) return;
          // What has not left yet need not leave any more.
          if (!exchange.wasSent) {
            exchange.abort();
            return;
          }
          // NovelAI keeps an account locked when its client leaves; it stays taken until the answer, or the drain limit.
          exchange.resume();
          stopDrain();
          stopDrain = afterPatiently(deps.clock, deps.drainMs, () => exchange.abort());
        });
      },
      receiver: {
        onHead: (status, headers) => relay.head(status, { ...passedHeaders(headers), ...ownHeaders(passage) }),
        onData: (chunk) => relay.push(chunk),
        onEnd: () => relay.end(),
      },
    },
    deps,
  );
  hasEnded = true;
  stopDrain();
  applyToAccount(passage, lease, result, await effectOn(account.name, passage, result));
  request.body?.putBack();
  return { ...result, relay };
}

function applyToAccount(passage: Passage, { account, kind }: Lease, result: SendResult, effect: AccountEffect): void {
  const { request, deps, record } = passage;
  const { ruling, failure, sentMs, endedMs, headers } = result;
  const isEndUnseen = failure?.wasSent === true && ruling.action === 'fail' && sentMs !== undefined;
  account.apply(effect, {
    kind,
    work: request.work,
    retryAfterMs: readRetryAfterMs(headers?.['retry-after']),
    // NovelAI may still be generating: the account rests until such a generation would surely be over (I1).
    restUntilMs: isEndUnseen ? Math.max(sentMs + deps.holdingTimes.longestMs(request), endedMs + NOTICE_MS) : undefined,
  });
  if (sentMs === undefined) return;
  record.upstreamMs = endedMs - sentMs;
  deps.metrics?.exchangeEnded({
    status: result.status,
    durationMs: record.upstreamMs,
    isGeneration: true,
    model: request.facts.model,
  });
  if (ruling.account === 'success' && !failure) deps.holdingTimes.learn(request, endedMs - sentMs);
}

/** What the answer says of the account, once it is clear whose fault a 500 is. */
async function effectOn(
  accountName: string,
  { request, deps }: Passage,
  { ruling, failure, status, isHtml }: SendResult,
): Promise<AccountEffect> {
  const { client, endpointId, facts } = request;
  const { model, action, tool, widthPx, heightPx, outline } = facts;
  const shape = [client.name, endpointId, model, action, tool, widthPx, heightPx, outline].join('|');
  if (ruling.account === 'success' && !failure) deps.blame.onSuccess(shape, accountName);
  if (status !== 500 || isHtml || failure) return ruling.account;
  const digest = await digestOf(request);
  return deps.blame.isRequestsFault({ shape, digest }, accountName) ? 'untouched' : ruling.account;
}

/** Equal for equal bodies. A request without one, or whose body the disk does not give back, is known by what it asks for. */
async function digestOf({ method, path, body }: RelayedRequest): Promise<string> {
  const hash = createHash('sha256').update(`${method} ${path}`);
  await body?.look((bytes) => void hash.update(bytes)).catch(() => undefined);
  return hash.digest('base64');
}

/** Reads `Retry-After` in seconds; the date form is not used by NovelAI. */
function readRetryAfterMs(header: string | string[] | undefined): number | undefined {
  const seconds = Number(header);
  if (header === undefined || !Number.isFinite(seconds) || seconds < 0) return undefined;
  return Math.min(seconds * 1000, LONGEST_RETRY_AFTER_MS);
}
