// The way of a request, read top to bottom: admit, wait for an account, send, relay, settle.
import { ProxyError } from '../lib/proxy-error.ts';
import { afterTwoTurns } from '../lib/two-turns.ts';
import type { Attempt } from './attempt.ts';
import { refuse } from './conclude.ts';
import type { GenerationRequest } from './generation-request.ts';
import type { DispatchDeps, Passage, RequestRecord } from './passage.ts';
import { settle } from './settle.ts';
import { admitted, enterQueue, reenterQueue, watchedAttempt, watchedConclude } from './watched-steps.ts';
import type { Lease } from './work-queue.ts';

/** A request that NovelAI keeps turning away, account after account, gets the last answer after this many changes. */
const MOST_ACCOUNT_CHANGES = 4;

/** Serves one request to its end, and gives what came of it. Never throws: whatever happens becomes an answer and an outcome. */
export async function serveGeneration(request: GenerationRequest, deps: DispatchDeps): Promise<RequestRecord> {
  const passage: Passage = {
    request,
    deps,
    record: { outcome: 'failed_gateway', sends: 0, sizeBytes: 0, isDelivered: false },
  };
  try {
    passage.booking = await admitted(passage);
    if (!request.sink.isOpen) throw new ProxyError('client_left');
    const firstLease = await enterQueue(passage);
    const { last, lease } = await tryAccounts(passage, firstLease);
    // NovelAI is done with it; the client may still be reading what was read ahead.
    lease.release({ isUsed: last.sentMs !== undefined });
    // The account's next request goes first: that one stands between NovelAI and its work, this one only between answer and log.
    await new Promise<void>(afterTwoTurns);
    await watchedConclude(passage, last);
  } catch (error) {
    refuse(passage, error);
  }
  settle(passage);
  return passage.record;
}

/**
 * Sends, and sends again only where the ruling allows it, which is only with proof that nothing was charged (I2). Gives the
 * attempt whose answer stands, and the lease that is still held. When it throws, no lease is held.
 */
async function tryAccounts(passage: Passage, firstLease: Lease): Promise<{ last: Attempt; lease: Lease }> {
  const { request, deps, record } = passage;
  let lease = firstLease;
  let renewedOn: string | undefined;
  let accountChanges = 0;
  for (;;) {
    const { account } = lease;
    record.queueWaitMs = lease.waitedMs;
    record.account = account.name;
    const token = account.session.token();
    if (token === undefined) {
      lease = await reenterQueue(passage, lease);
      continue;
    }
    await holding(lease, passage.booking?.markSent(account));
    const last = await holding(lease, watchedAttempt(passage, lease, token));
    const { action } = last.ruling;
    if (action === 'pass' || action === 'fail' || action === 'other_host') return { last, lease };
    if (action === 'renew_token') {
      const isFirstRefusal = renewedOn !== account.name;
      renewedOn = account.name;
      if (isFirstRefusal) {
        await account.session.onRefused(token);
        if (account.session.state === 'ready' && request.sink.isOpen) {
          await holding(lease, passage.booking?.markUnsent(whyUnsent(last)));
          continue;
        }
      } else if ((await account.session.onRefusedAgain(token)) && last.status === 403) {
        // The token is good, so the refusal meant this request: its answer is the client's. (A 401 for a good token is NovelAI's
        // mistake, and never the client's business.)
        return { last: { ...last, ruling: { account: 'untouched', action: 'pass' } }, lease };
      }
    }
    if (action !== 'wait_again') accountChanges += 1;
    if (accountChanges > MOST_ACCOUNT_CHANGES || !deps.pool.outlook(request.work, request.slot).isServable)
      return { last, lease };
    await holding(lease, passage.booking?.markUnsent(whyUnsent(last)));
    lease = await reenterQueue(passage, lease);
  }
}

/** The proof that nothing was charged, for the ledger. */
function whyUnsent({ status, failure }: Attempt): string {
  return String(status ?? failure?.kind);
}

/** Waits for one step; when it throws, the lease is given back. */
async function holding<T>(lease: Lease, step: Promise<T>): Promise<T>;
async function holding<T>(lease: Lease, step: Promise<T> | undefined): Promise<T | undefined>;
async function holding<T>(lease: Lease, step: Promise<T> | undefined): Promise<T | undefined> {
  try {
    return await step;
  } catch (error) {
    lease.release();
    throw error;
  }
}
