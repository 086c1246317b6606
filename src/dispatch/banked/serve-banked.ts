// The way of a request past the results store: the same Idempotency-Key, or the same body after a lost connection, gets the
// answer that was paid for already (design I10).
import { pipeline } from 'node:stream/promises';
import { Writable } from 'node:stream';
import type { Bank, Beginning } from '../../bank/bank.ts';
import type { BankedAnswer } from '../../bank/banked-answer.ts';
import { requestHash } from '../../bank/request-hash.ts';
import type { Ticket } from '../../bank/ticket.ts';
import { ProxyError } from '../../lib/proxy-error.ts';
import { StoreUnavailableError } from '../../store/store-error.ts';
import { refuse } from '../conclude.ts';
import type { GenerationRequest } from '../generation-request.ts';
import { ownHeaders, type DispatchDeps, type Passage, type RequestRecord } from '../passage.ts';
import type { ReplySink } from '../reply-sink.ts';
import { settle } from '../settle.ts';

export interface BankedDeps extends DispatchDeps {
  bank: Bank;
}

/** Carries a request out, and gives what came of it. */
export type Serve = (request: GenerationRequest) => Promise<RequestRecord>;

const STORE_RETRY_MS = 10_000;

/** Serves one request to its end: from the bank where it was made before, and by `serve` otherwise. Never throws. */
export async function serveBanked(
  request: GenerationRequest,
  idempotencyKey: string | undefined,
  deps: BankedDeps,
  serve: Serve,
): Promise<void> {
  const { bank } = deps;
  const passage: Passage = {
    request,
    deps,
    record: { outcome: 'failed_gateway', sends: 0, sizeBytes: 0, isDelivered: false },
  };
  try {
    const beginning = await begin(bank, request, idempotencyKey);
    switch (beginning.kind) {
      case 'run':
        await run(passage, beginning.ticket, serve);
        return;
      case 'replay':
        await replay(passage, beginning.answer);
        break;
      case 'conflict':
        throw new ProxyError('client_key_conflict');
      case 'lost':
        throw new ProxyError('client_answer_lost', {
          message: `A request with this Idempotency-Key was made before and may have been charged, but ${beginning.why}.`,
        });
    }
  } catch (error) {
    refuse(
      passage,
      error instanceof StoreUnavailableError
        ? new ProxyError('proxy_ledger_unavailable', { cause: error, retryAfterMs: STORE_RETRY_MS })
        : error,
    );
  }
  settle(passage);
}

/** Asks the bank, and waits where the same request is being made already, as long as the client does. */
async function begin(
  bank: Bank,
  { id, client, path, headers, body, sink }: GenerationRequest,
  idempotencyKey: string | undefined,
): Promise<Exclude<Beginning, { kind: 'join' }>> {
  const parts = { path, contentType: headers['content-type'], accept: headers['accept'] };
  const hashOf = () =>
    body ? body.look((bytes) => requestHash({ ...parts, body: bytes })) : requestHash({ ...parts, body: null });
  for (;;) {
    const beginning = await bank.begin({ requestId: id, clientId: client.id, idempotencyKey, hashOf });
    if (beginning.kind !== 'join') return beginning;
    const end = await Promise.race([beginning.ended, goneOf(sink)]);
    if (end.kind !== 'again') return end;
  }
}

async function goneOf(sink: ReplySink): Promise<never> {
  await new Promise<void>((resolve) => sink.onGone(resolve));
  throw new ProxyError('client_left');
}

async function run({ request, deps }: Passage, ticket: Ticket, serve: Serve): Promise<void> {
  request.sink.onGone(() => ticket.clientLeft());
  const { outcome, isDelivered, chargedAnlas } = await serve({ ...request, tap: ticket });
  const mayHaveCost = outcome === 'unknown' || outcome === 'failed_upstream_charged' || (chargedAnlas ?? 0) > 0;
  try {
    await ticket.finish({ isDelivered, mayHaveCost });
  } catch (err) {
    // The request itself has ended, with an outcome of its own.
    deps.log.error({ requestId: request.id, err }, 'an answer could not be kept');
  }
}

async function replay(passage: Passage, answer: BankedAnswer): Promise<void> {
  const { request, record } = passage;
  const { sink } = request;
  record.outcome = 'succeeded';
  record.status = answer.status;
  record.replayed = answer.source;
  if (!sink.isOpen) return answer.settle(false);
  sink.head(answer.status, { ...answer.headers, ...ownHeaders(passage) });
  const isWhole = await send(answer, sink);
  record.isDelivered = isWhole;
  record.sizeBytes = answer.sizeBytes;
  answer.settle(isWhole);
}

/** Gives true when the client has it all; a file that fails in the middle cuts the connection. */
async function send(answer: BankedAnswer, sink: ReplySink): Promise<boolean> {
  const { promise: left, resolve: leave } = Promise.withResolvers<false>();
  sink.onGone(() => leave(false));
  const target = new Writable({
    write(chunk: Buffer, _encoding, done) {
      if (sink.write(chunk)) done();
      else sink.onDrain(() => done());
    },
    final: (done) => sink.end(() => done()),
  });
  try {
    // A connection may be closed as soon as it has carried everything: whether it still stands tells nothing.
    return await Promise.race([pipeline(answer.read(), target).then(() => true), left]);
  } catch {
    sink.cut();
    return false;
  }
}
