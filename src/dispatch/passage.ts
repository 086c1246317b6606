// What the steps of one request's way share: the request, the rooms it passes through, and what is known of it so far.
import type { AccountPool } from '../accounts/account-pool.ts';
import type { Outcome } from '../lib/outcome.ts';
import type { Log } from '../telemetry/log.ts';
import type { GenerationRequest } from './generation-request.ts';
import type { HoldingTimes } from './holding-times.ts';
import type { ReadAheadOptions } from './read-ahead.ts';
import type { ReplyHeaders } from './reply-sink.ts';
import type { SendDeps } from './send.ts';
import type { WorkQueue } from './work-queue.ts';

/** The rooms and settings every request needs. */
export interface DispatchDeps extends SendDeps {
  pool: AccountPool;
  queue: WorkQueue;
  holdingTimes: HoldingTimes;
  log: Log;
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
}

export interface Passage {
  request: GenerationRequest;
  deps: DispatchDeps;
  record: RequestRecord;
}

/** The service's own headers on an answer. */
export function ownHeaders({ request, deps, record: { queueWaitMs, account } }: Passage): ReplyHeaders {
  return {
    'x-request-id': request.id,
    ...(queueWaitMs !== undefined && { 'x-queue-wait': String(Math.round(queueWaitMs)) }),
    ...(deps.showsAccount && account !== undefined && { 'x-account': account }),
  };
}
