// What the steps of one request's way share: the request, the rooms it passes through, and what is known of it so far.
import type { FaultBlame } from '../accounts/fault-blame.ts';
import type { ReplaySource } from '../bank/banked-answer.ts';
import type { AccountPool } from '../accounts/account-pool.ts';
import type { Outcome } from '../lib/outcome.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Log } from '../telemetry/log.ts';
import type { ServiceMetrics } from '../telemetry/service-metrics.ts';
import type { Booking } from './booking.ts';
import type { GenerationRequest, RelayedRequest } from './generation-request.ts';
import type { HoldingTimes } from './holding-times.ts';
import type { ReadAheadOptions } from './read-ahead.ts';
import type { ReplyHeaders } from './reply-sink.ts';
import type { SendDeps } from './send.ts';
import type { WorkQueue } from './work-queue.ts';

/** The rooms and settings every request needs. */
export interface DispatchDeps extends SendDeps {
  pool: AccountPool;
  queue: WorkQueue;
  /** Absent only where a bench measures what it costs. */
  ledger?: Ledger | undefined;
  holdingTimes: HoldingTimes;
  blame: FaultBlame;
  log: Log;
  /** Absent in tests of single steps. */
  metrics?: ServiceMetrics | undefined;
  readAhead: Omit<ReadAheadOptions, 'onRoom'>;
  /** How long an account stays taken after its client left. */
  drainMs: number;
  /** Whether answers name the account that served them. */
  showsAccount: boolean;
}

/** What is known of a request at its end; becomes its log line, and everything else that is written down of it. */
export interface RequestRecord {
  outcome: Outcome;
  status?: number | undefined;
  account?: string | undefined;
  /** Code of the service's own error, where it gave one. */
  errorCode?: string | undefined;
  /** What broke on the way to NovelAI. */
  upstreamError?: string | undefined;
  /** Sends that reached a connection. */
  sends: number;
  queueWaitMs?: number | undefined;
  upstreamMs?: number | undefined;
  /** Bytes of NovelAI's answer. */
  sizeBytes: number;
  isDelivered: boolean;
  /** NovelAI's answer broke off after its head had gone to the client, whose connection was cut for that. */
  isTruncated?: boolean | undefined;
  /** Answered from an earlier answer, or from one that another request was waiting for already. */
  cache?: 'hit' | 'shared' | undefined;
  /** Answered from the results store, and why. */
  replayed?: ReplaySource | undefined;
  /** What NovelAI charged for it, as far as is known. */
  chargedAnlas?: number | undefined;
  /** What NovelAI would have charged had the answer not been kept. */
  savedAnlas?: number | undefined;
}

export interface Passage<Request extends RelayedRequest = GenerationRequest> {
  request: Request;
  deps: DispatchDeps;
  record: RequestRecord;
  /** The request's entry in the ledger, once there is one. */
  booking?: Booking | undefined;
}

/** The service's own headers on an answer. */
export function ownHeaders({
  request,
  deps,
  record: { queueWaitMs, account, cache, savedAnlas },
}: Passage<RelayedRequest>): ReplyHeaders {
  return {
    ...request.notes,
    'x-request-id': request.id,
    ...(queueWaitMs !== undefined && { 'x-queue-wait': String(Math.round(queueWaitMs)) }),
    ...(cache !== undefined && { 'x-proxy-cache': cache }),
    ...(savedAnlas !== undefined && { 'x-anlas-saved': String(savedAnlas) }),
    ...(deps.showsAccount && account !== undefined && { 'x-account': account }),
  };
}
