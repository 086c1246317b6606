// The last steps towards the client: brings it the answer that stands, or the reason why there is none, and names the outcome.
import type { Outcome } from '../lib/outcome.ts';
import { ProxyError } from '../lib/proxy-error.ts';
import { outcomeOfRefusal } from '../lib/refusal-outcome.ts';
import type { ExchangeFailure } from '../upstream/exchange-failure.ts';
import type { Attempt } from './attempt.ts';
import type { RelayedRequest } from './generation-request.ts';
import { ownHeaders, type Passage } from './passage.ts';
import { passedHeaders, type Relay } from './relay.ts';
import type { HeldAnswer } from './send.ts';

const UNREACHABLE_RETRY_MS = 5000;
const TOKEN_TROUBLE_RETRY_MS = 10_000;

/** Resolves when the client has the whole answer or has left. */
export async function conclude(passage: Passage<RelayedRequest>, last: Attempt): Promise<void> {
  const { record } = passage;
  const { ruling, status, failure, held, relay } = last;
  record.status = status;
  if (held) {
    record.outcome = ruling.account === 'untouched' ? 'failed_client' : 'failed_upstream_free';
    // The refusal speaks of the account's token; passed on, the client would take it for its own.
    if (ruling.account === 'token_refused')
      answerWith(passage, new ProxyError('upstream_no_account', { retryAfterMs: TOKEN_TROUBLE_RETRY_MS }));
    else passHeld(passage, held);
    return;
  }
  if (ruling.action === 'pass' && !failure) {
    record.outcome = outcomeOfAnswer(passage, status ?? 0, relay);
    if (relay.hasErrorEvent) record.upstreamError = 'an error event inside the answer';
    if (record.outcome === 'succeeded') record.chargedAnlas = passage.booking?.quotedAnlas;
    // NovelAI is done: the books do not wait for a slow reader.
    passage.booking?.end(record.outcome);
    record.isDelivered = (await relay.finished) === 'delivered';
    record.sizeBytes = relay.sizeBytes;
    return;
  }
  record.outcome = outcomeOfFailure(passage, failure);
  record.upstreamError = failure && `${failure.kind}: ${failure.code}`;
  record.sizeBytes = relay.sizeBytes;
  if (failure?.hasHead) {
    record.isTruncated = true;
    relay.cut();
  } else answerWith(passage, failureError(failure));
}

/** Answers a request that ended before NovelAI's answer, and names the outcome. */
export function refuse(passage: Passage<RelayedRequest>, error: unknown): void {
  const { request, deps, record } = passage;
  const refusal = error instanceof ProxyError ? error : new ProxyError('proxy_internal', { cause: error });
  // After a fault of this service's own nobody knows what NovelAI made of what it was sent.
  const isCutOff = refusal.code === 'proxy_internal' && record.sends > 0;
  record.outcome = isCutOff ? 'unknown' : outcomeOfRefusal(refusal.code);
  if (refusal.code === 'proxy_internal')
    deps.log.error({ requestId: request.id, err: refusal.cause ?? refusal }, 'a request failed inside the service');
  answerWith(passage, refusal);
}

function outcomeOfAnswer(passage: Passage<RelayedRequest>, status: number, { hasErrorEvent }: Relay): Outcome {
  if (status < 400 && !hasErrorEvent) return 'succeeded';
  if (status >= 400 && status < 500) return 'failed_client';
  return mayHaveCost(passage) ? 'unknown' : 'failed_upstream_free';
}

function outcomeOfFailure(passage: Passage<RelayedRequest>, failure: ExchangeFailure | undefined): Outcome {
  // The client left while a connection was still being made.
  if (failure?.kind === 'aborted' && !failure.wasSent) return 'cancelled_queued';
  if (failure?.kind === 'body_lost') return 'failed_gateway';
  return failure?.wasSent && mayHaveCost(passage) ? 'unknown' : 'failed_upstream_free';
}

/** Whether the request could cost Anlas on the account that ran it. */
function mayHaveCost({ request, deps, record }: Passage<RelayedRequest>): boolean {
  const account = deps.pool.accounts.find(({ name }) => name === record.account);
  return account?.balance.priceOf(request.work) !== 0;
}

function passHeld(passage: Passage<RelayedRequest>, { status, headers, body }: HeldAnswer): void {
  const { request, record } = passage;
  record.sizeBytes = body.length;
  if (!request.sink.isOpen) return;
  const { 'content-length': _of, ...passed } = passedHeaders(headers);
  request.sink.head(status, { ...passed, 'content-length': String(body.length), ...ownHeaders(passage) });
  request.sink.write(body);
  request.sink.end(() => undefined);
  record.isDelivered = true;
}

function answerWith(passage: Passage<RelayedRequest>, error: ProxyError): void {
  const { request, record } = passage;
  record.errorCode = error.code;
  record.status = error.status;
  if (request.sink.isOpen) request.sink.refuse(error, ownHeaders(passage));
}

function failureError(failure: ExchangeFailure | undefined): ProxyError {
  switch (failure?.kind) {
    case 'first_byte_timeout':
    case 'idle_timeout':
    case 'total_timeout':
      return new ProxyError('upstream_timeout');
    case 'aborted':
      return new ProxyError('client_left');
    case 'body_lost':
      return new ProxyError('proxy_internal');
    case 'refused':
    case 'dns':
    case 'tls':
    case 'connect_timeout':
      return new ProxyError('upstream_unreachable', { retryAfterMs: UNREACHABLE_RETRY_MS });
    case 'reset':
    case undefined:
      return new ProxyError('upstream_broken');
  }
}
