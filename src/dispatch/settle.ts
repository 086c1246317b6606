// The last step: writes down how a request ended, in the log (one line, constant message, values as fields) and in the metrics.
import type { RequestMessage } from '../telemetry/trace-channels.ts';
import type { GenerationRequest, RelayedRequest } from './generation-request.ts';
import type { Passage, RequestRecord } from './passage.ts';

export function settle({ request, deps, record, booking }: Passage<RelayedRequest>): void {
  booking?.end(record.outcome);
  const { facts } = request;
  const totalMs = deps.clock.monotonicMs() - request.receivedMs;
  const line = {
    requestId: request.id,
    client: request.client.name,
    account: record.account,
    endpoint: request.endpointId,
    model: facts.model,
    size:
      facts.widthPx !== undefined && facts.heightPx !== undefined ? `${facts.widthPx}x${facts.heightPx}` : undefined,
    steps: facts.steps,
    samples: facts.samples,
    queueWaitMs: round(record.queueWaitMs),
    upstreamMs: round(record.upstreamMs),
    totalMs: round(totalMs),
    status: record.status,
    outcome: record.outcome,
    error: record.errorCode,
    upstreamError: record.upstreamError,
    bytes: record.sizeBytes,
    sends: record.sends > 1 ? record.sends : undefined,
    isDelivered: record.isDelivered ? undefined : false,
    isTruncated: record.isTruncated,
    cache: record.cache,
    replayed: record.replayed,
    chargedAnlas: record.chargedAnlas,
    savedAnlas: record.savedAnlas,
  };
  if (record.outcome === 'failed_gateway' || record.outcome === 'unknown') deps.log.warn(line, 'request');
  else deps.log.info(line, 'request');
  deps.metrics?.requestEnded({
    dialect: request.dialect ?? 'native',
    endpoint: request.endpointId,
    client: request.client.name,
    slot: 'slot' in request ? (request as GenerationRequest).slot : undefined,
    totalMs,
    outcome: record.outcome,
    queueWaitMs: record.queueWaitMs,
    chargedAnlas: record.chargedAnlas,
    savedAnlas: record.savedAnlas,
  });
  if (request.trace) tellTrace(request.trace, request, record);
}

function tellTrace(trace: RequestMessage, request: RelayedRequest, record: RequestRecord): void {
  const { account, outcome, status, errorCode, sends, chargedAnlas } = record;
  Object.assign(trace, {
    endpoint: request.endpointId,
    model: request.facts.model,
    client: request.client.name,
    account,
    outcome,
    status,
    errorCode,
    sends,
    chargedAnlas,
  });
}

function round(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.round(ms);
}
