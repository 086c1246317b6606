// The log line of a request that never reaches the dispatch rooms; theirs has the same form (dispatch/settle.ts).
import type { IncomingMessage } from 'node:http';
import type { Client } from '../../clients/client-registry.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Outcome } from '../../lib/outcome.ts';
import type { ProxyError, ProxyErrorCode } from '../../lib/proxy-error.ts';
import type { Log } from '../../telemetry/log.ts';
import type { ClientArrival } from './arrival.ts';

const LONGEST_PATH_CHARACTERS = 200;

/** Writes down an answer that was made up for the client. */
export function logAnswer(log: Log, { id, client, endpoint, response, receivedMs }: ClientArrival, clock: Clock): void {
  log.info(
    {
      requestId: id,
      client: client.name,
      endpoint: endpoint.id,
      totalMs: Math.round(clock.monotonicMs() - receivedMs),
      status: response.statusCode,
      outcome: 'succeeded' satisfies Outcome,
    },
    'request',
  );
}

/** Writes down that a request was refused before anything was done for it. */
export function logRefusal(
  log: Log,
  { id, request, client }: { id: string; request: IncomingMessage; client: Client | undefined },
  refusal: ProxyError,
): void {
  if (refusal.code === 'proxy_internal')
    log.error({ requestId: id, err: refusal.cause }, 'a request failed inside the service');
  log.info(
    {
      requestId: id,
      client: client?.name,
      endpoint: request.url?.split('?', 1)[0]?.slice(0, LONGEST_PATH_CHARACTERS),
      status: refusal.status,
      outcome: OUTCOMES[refusal.code] ?? 'refused_invalid',
      error: refusal.code,
    },
    'request',
  );
}

const OUTCOMES: Partial<Record<ProxyErrorCode, Outcome>> = {
  client_unauthorized: 'refused_auth',
  policy_endpoint_refused: 'refused_policy',
  proxy_internal: 'failed_gateway',
};
