// Requests that NovelAI answers: read once, turned into the dispatch rooms' form, and sent the way the endpoint table says.
import { classify } from '../../accounts/work-class.ts';
import type { GenerationRequest, RelayedRequest } from '../../dispatch/generation-request.ts';
import { readIdempotencyKey } from '../../bank/idempotency-key.ts';
import type { RateLimits } from '../../clients/rate-limits.ts';
import { serveBanked, type BankedDeps } from '../../dispatch/banked/serve-banked.ts';
import { ProxyError } from '../../lib/proxy-error.ts';
import { serveKept, type KeptDeps } from '../../dispatch/kept/serve-kept.ts';
import { serveRead } from '../../dispatch/reads/serve-read.ts';
import { serveSharedRead, type SharedReadDeps } from '../../dispatch/reads/serve-shared-read.ts';
import { serveGeneration } from '../../dispatch/serve-generation.ts';
import { readRequestBody } from '../../novelai/request-body.ts';
import { readPreferences } from '../request-preferences.ts';
import { requireFree, requirePermission } from '../client-rules.ts';
import type { ClientArrival } from './arrival.ts';
import { readBody } from './read-body.ts';
import { upstreamHeaders } from './upstream-headers.ts';

export type RelayDeps = KeptDeps & SharedReadDeps & BankedDeps & { rateLimits: RateLimits };

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
  requirePermission(client, { endpointId: endpoint.id, dialect: 'native' }, deps.rateLimits);
  const idempotencyKey = readKey(request.headers['idempotency-key']);
  const relayed = await readArrival(arrival, limits);
  if (endpoint.slot === 'none') return endpoint.isCacheable ? serveSharedRead(relayed, deps) : serveRead(relayed, deps);
  const generation: GenerationRequest = {
    ...relayed,
    slot: endpoint.slot,
    ...readPreferences(
      request.headers,
      { band: client.band, queueTimeoutMs: client.maxWaitMs ?? limits.queueTimeoutMs, receivedMs },
      deps.clock,
    ),
  };
  const serve = endpoint.isCacheable ? serveKept : serveGeneration;
  await serveBanked(generation, idempotencyKey, deps, (banked) => serve(banked, deps));
}

async function readArrival(arrival: ClientArrival, { bodyBytes }: RelayLimits): Promise<RelayedRequest> {
  const { id, client, endpoint, path, request, response, sink, receivedMs, trace } = arrival;
  const body = await readBody(request, response, Math.min(bodyBytes, endpoint.bodyLimitBytes ?? Infinity));
  const facts = readRequestBody(endpoint.id, request.headers['content-type'], body ?? NO_BODY);
  const allowed = requireFree(client, {
    body,
    facts,
    endpointId: endpoint.id,
    contentType: request.headers['content-type'],
  });
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
    ...allowed,
    work: classify(allowed.facts.billable),
    receivedMs,
    sink,
    trace,
  };
}

function readKey(header: string | string[] | undefined): string | undefined {
  const read = readIdempotencyKey(header);
  if (read.fault !== undefined) throw new ProxyError('client_invalid_field', { message: read.fault });
  return read.key;
}
