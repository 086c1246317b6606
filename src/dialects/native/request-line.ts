// The log line and the counts of a request that never reaches the dispatch rooms; theirs are of the same form (dispatch/settle.ts).
import type { IncomingMessage } from 'node:http';
import type { Client } from '../../clients/client.ts';
import type { DispatchDeps } from '../../dispatch/passage.ts';
import type { Outcome } from '../../lib/outcome.ts';
import type { ProxyError } from '../../lib/proxy-error.ts';
import { outcomeOfRefusal } from '../../lib/refusal-outcome.ts';
import { findEndpoint } from '../../novelai/endpoints.ts';
import type { RequestMessage } from '../../telemetry/trace-channels.ts';
import type { ClientArrival } from './arrival.ts';

const LONGEST_PATH_CHARACTERS = 200;

type LineDeps = Pick<DispatchDeps, 'log' | 'clock' | 'metrics'>;

/** A request as far as it came before it was refused. */
export interface RefusedArrival {
  id: string;
  request: IncomingMessage;
  client: Client | undefined;
  /** Monotonic milliseconds. */
  receivedMs: number;
  trace?: RequestMessage | undefined;
}

/** Writes down an answer that was made up for the client. */
export function logAnswer({ log, clock, metrics }: LineDeps, arrival: ClientArrival): void {
  const { id, client, endpoint, response, receivedMs, trace } = arrival;
  const totalMs = clock.monotonicMs() - receivedMs;
  const end = { client: client.name, status: response.statusCode, outcome: 'succeeded' satisfies Outcome } as const;
  log.info({ requestId: id, endpoint: endpoint.id, totalMs: Math.round(totalMs), ...end }, 'request');
  metrics?.requestEnded({ dialect: 'native', endpoint: endpoint.id, totalMs, ...end });
  if (trace) Object.assign(trace, { endpoint: endpoint.id, ...end });
}

/** Writes down that a request was refused before anything was done for it. */
export function logRefusal(
  { log, clock, metrics }: LineDeps,
  { id, request, client, receivedMs, trace }: RefusedArrival,
  refusal: ProxyError,
): void {
  if (refusal.code === 'proxy_internal')
    log.error({ requestId: id, err: refusal.cause }, 'a request failed inside the service');
  const totalMs = clock.monotonicMs() - receivedMs;
  const end = { client: client?.name, status: refusal.status, outcome: outcomeOfRefusal(refusal.code) };
  const path = request.url?.split('?', 1)[0]?.slice(0, LONGEST_PATH_CHARACTERS);
  log.info({ requestId: id, endpoint: path, totalMs: Math.round(totalMs), ...end, error: refusal.code }, 'request');
  const match = findEndpoint(request.method ?? 'GET', request.url ?? '/');
  const endpoint = match && 'found' in match ? match.found.id : undefined;
  metrics?.requestEnded({ dialect: 'native', endpoint, totalMs, ...end });
  if (trace) Object.assign(trace, { endpoint, ...end, errorCode: refusal.code });
}
