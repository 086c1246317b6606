// The last step: writes down how a request ended. One line each, constant message, values as fields.
import type { RelayedRequest } from './generation-request.ts';
import type { Passage } from './passage.ts';

export function settle({ request, deps, record, booking }: Passage<RelayedRequest>): void {
  booking?.end(record.outcome);
  const { facts } = request;
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
    totalMs: round(deps.clock.monotonicMs() - request.receivedMs),
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
}

function round(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.round(ms);
}
