// Requests that NovelAI answers: read once, turned into the dispatch rooms' form, and sent the way the endpoint table says.
import { classify } from '../../accounts/work-class.ts';
import type { GenerationRequest, RelayedRequest } from '../../dispatch/generation-request.ts';
import { serveKept, type KeptDeps } from '../../dispatch/kept/serve-kept.ts';
import { serveRead } from '../../dispatch/reads/serve-read.ts';
import { serveSharedRead, type SharedReadDeps } from '../../dispatch/reads/serve-shared-read.ts';
import { serveGeneration } from '../../dispatch/serve-generation.ts';
import { readRequestBody } from '../../novelai/request-body.ts';
import { readPreferences } from '../request-preferences.ts';
import type { ClientArrival } from './arrival.ts';
import { readBody } from './read-body.ts';
import { upstreamHeaders } from './upstream-headers.ts';

export type RelayDeps = KeptDeps & SharedReadDeps;

export interface RelayLimits {
  bodyBytes: number;
  /** How long a request may wait for an account. */
  queueTimeoutMs: number;
}

const NO_BODY = Buffer.alloc(0);

/**
 * Serves one request to its end.
 * @throws {ProxyError | RequestBodyError} when its body cannot be taken; nothing was sent then.
 */
export async function answerRelayed(arrival: ClientArrival, deps: RelayDeps, limits: RelayLimits): Promise<void> {
  const { client, endpoint, request, receivedMs } = arrival;
  const relayed = await readArrival(arrival, limits);
  if (endpoint.slot === 'none') return endpoint.isCacheable ? serveSharedRead(relayed, deps) : serveRead(relayed, deps);
  const generation: GenerationRequest = {
    ...relayed,
    slot: endpoint.slot,
    ...readPreferences(
      request.headers,
      { band: client.band, queueTimeoutMs: limits.queueTimeoutMs, receivedMs },
      deps.clock,
    ),
  };
  return endpoint.isCacheable ? serveKept(generation, deps) : serveGeneration(generation, deps);
}

async function readArrival(arrival: ClientArrival, { bodyBytes }: RelayLimits): Promise<RelayedRequest> {
  const { id, client, endpoint, path, request, response, sink, receivedMs } = arrival;
  const body = await readBody(request, response, Math.min(bodyBytes, endpoint.bodyLimitBytes ?? Infinity));
  const facts = readRequestBody(endpoint.id, request.headers['content-type'], body ?? NO_BODY);
  const query = request.url?.indexOf('?') ?? -1;
  return {
    id,
    client,
    endpointId: endpoint.id,
    role: endpoint.role,
    // Some clients send GET with a body where NovelAI wants POST.
    method: endpoint.methods[0],
    path: path + (query === -1 ? '' : (request.url ?? '').slice(query)),
    headers: upstreamHeaders(request.headers, { mayBeEncoded: !endpoint.isStream && !endpoint.isCacheable }),
    body,
    facts,
    work: classify(facts.billable),
    receivedMs,
    sink,
  };
}
