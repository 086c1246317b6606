// The way of a read (tags, voices, token counts): no queue, no slot, no effect on the account but for its token.
import type { Account } from '../../accounts/account.ts';
import { ProxyError } from '../../lib/proxy-error.ts';
import type { FailureKind } from '../../upstream/exchange-failure.ts';
import type { Attempt } from '../attempt.ts';
import { conclude, refuse } from '../conclude.ts';
import type { RelayedRequest } from '../generation-request.ts';
import { ownHeaders, type DispatchDeps, type Passage } from '../passage.ts';
import { passedHeaders, Relay } from '../relay.ts';
import { send } from '../send.ts';
import { settle } from '../settle.ts';
import type { ReadAccounts, ReadTurn } from './read-accounts.ts';

export interface ReadDeps extends DispatchDeps {
  readAccounts: ReadAccounts;
}

/** Changes of account, and repetitions on the same one, before the last answer stands. */
const MOST_TRIES = 4;
const NO_ACCOUNT_RETRY_MS = 5000;
const NEVER_AGAIN: ReadonlySet<FailureKind> = new Set([
  'aborted',
  'first_byte_timeout',
  'idle_timeout',
  'total_timeout',
]);

/** Serves one read to its end. Never throws. */
export async function serveRead(request: RelayedRequest, deps: ReadDeps): Promise<void> {
  settle(await read(request, deps));
}

/** Brings the answer to a read to `request.sink`, and gives how it went, unsettled. Never throws. */
export async function read(request: RelayedRequest, deps: ReadDeps): Promise<Passage<RelayedRequest>> {
  const passage: Passage<RelayedRequest> = {
    request,
    deps,
    record: { outcome: 'failed_gateway', sends: 0, sizeBytes: 0, isDelivered: false },
  };
  try {
    requireFree(request);
    await conclude(passage, await tryAccounts(passage, deps.readAccounts));
  } catch (error) {
    refuse(passage, error);
  }
  return passage;
}

/** What may cost must pass admit; a mistake in the endpoint table must not open a way around it. */
function requireFree({ endpointId, facts: { billable } }: RelayedRequest): void {
  if (billable.kind !== 'nothing')
    throw new ProxyError('proxy_internal', { cause: new Error(`${endpointId} may cost Anlas and is no read`) });
}

/** Since a read costs nothing, it may be sent again even after a failure in the middle. */
async function tryAccounts(passage: Passage<RelayedRequest>, accounts: ReadAccounts): Promise<Attempt> {
  const excluded = new Set<Account>();
  const refused = new Map<Account, string>();
  let last: Attempt | undefined;
  for (let tryNumber = 1; ; tryNumber += 1) {
    const turn = await accounts.take(excluded);
    if (!turn) {
      if (last) return last;
      throw new ProxyError('upstream_no_account', { retryAfterMs: NO_ACCOUNT_RETRY_MS });
    }
    last = await attemptRead(passage, turn).finally(() => turn.release());
    const { account, token } = turn;
    const { action } = last.ruling;
    if (action === 'pass' || !canBeSentAgain(last, passage)) return last;
    if (action === 'renew_token' && !refused.has(account)) {
      refused.set(account, token);
      await account.session.onRefused(token);
    } else if (action === 'renew_token' && (await account.session.onRefusedAgain(token)))
      // The token is good, so the refusal meant this request: its answer is the client's.
      return { ...last, ruling: { account: 'untouched', action: 'pass' } };
    else if (action !== 'fail') excluded.add(account);
    if (tryNumber >= MOST_TRIES) return last;
  }
}

/** Not once the client has the head of an answer, and not after waiting long in vain. */
function canBeSentAgain({ failure }: Attempt, { request }: Passage<RelayedRequest>): boolean {
  if (!request.sink.isOpen) return false;
  return failure === undefined || (!failure.hasHead && !NEVER_AGAIN.has(failure.kind));
}

async function attemptRead(passage: Passage<RelayedRequest>, { account, token }: ReadTurn): Promise<Attempt> {
  const { request, deps, record } = passage;
  const body = request.body?.forSending() ?? null;
  const relay = new Relay(request.sink, deps.readAhead, request.tap);
  record.account = account.name;
  const result = await send(
    request,
    {
      account,
      token,
      body,
      onSent() {
        record.sends += 1;
      },
      onExchange(exchange) {
        relay.onRoom = () => exchange.resume();
        request.sink.onGone(() => exchange.abort());
      },
      receiver: {
        onHead: (status, headers) => relay.head(status, { ...passedHeaders(headers), ...ownHeaders(passage) }),
        onData: (chunk) => relay.push(chunk),
        onEnd: () => relay.end(),
      },
    },
    deps,
  );
  if (result.sentMs !== undefined) {
    record.upstreamMs = result.endedMs - result.sentMs;
    deps.metrics?.exchangeEnded({ status: result.status, durationMs: record.upstreamMs, isGeneration: false });
  }
  return { ...result, relay };
}
