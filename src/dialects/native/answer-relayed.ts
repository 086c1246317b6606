// Requests that NovelAI answers: read once, turned into the dispatch rooms' form, and sent the way the endpoint table says.
import { classify } from '../../accounts/work-class.ts';
import type { GenerationRequest, RelayedRequest } from '../../dispatch/generation-request.ts';
import { readIdempotencyKey } from '../../bank/idempotency-key.ts';
import type { RateLimits } from '../../clients/rate-limits.ts';
import { serveBanked, type BankedDeps } from '../../dispatch/banked/serve-banked.ts';
import { ProxyError } from '../../lib/proxy-error.ts';
import type { BodyRoom } from '../../dispatch/bodies/body-room.ts';
import { HeldBody } from '../../dispatch/bodies/held-body.ts';
import { serveKept, type KeptDeps } from '../../dispatch/kept/serve-kept.ts';
import { serveRead } from '../../dispatch/reads/serve-read.ts';
import { serveSharedRead, type SharedReadDeps } from '../../dispatch/reads/serve-shared-read.ts';
import { serveGeneration } from '../../dispatch/serve-generation.ts';
import type { Endpoint } from '../../novelai/endpoints.ts';
import { readRequestBody } from '../../novelai/request-body.ts';
import { readPreferences } from '../request-preferences.ts';
import { requireFree, requirePermission } from '../client-rules.ts';
import type { ClientArrival } from './arrival.ts';
import { receiveBody } from './read-body.ts';
import { upstreamHeaders } from './upstream-headers.ts';

export type RelayDeps = KeptDeps & SharedReadDeps & BankedDeps & { rateLimits: RateLimits; bodies: BodyRoom };

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
  const { client, endpoint, request, response } = arrival;
  requirePermission(client, { endpointId: endpoint.id, dialect: 'native' }, deps.rateLimits);
  const idempotencyKey = readKey(request.headers['idempotency-key']);
  const received = await receiveBody(request, response, bodyLimitOf(endpoint, limits), deps.bodies);
  const read = await readArrival(arrival, received, deps.bodies).catch(async (error: unknown) => {
    await received?.release();
    throw error;
  });
  try {
    await serve(read, arrival, idempotencyKey, deps, limits);
  } finally {
    await read.body?.release();
  }
}

async function serve(
  relayed: RelayedRequest,
  { client, endpoint, request: { headers }, receivedMs }: ClientArrival,
  idempotencyKey: string | undefined,
  deps: RelayDeps,
  limits: RelayLimits,
): Promise<void> {
  if (endpoint.slot === 'none') return endpoint.isCacheable ? serveSharedRead(relayed, deps) : serveRead(relayed, deps);
  const generation: GenerationRequest = {
    ...relayed,
    slot: endpoint.slot,
    ...readPreferences(
      headers,
      { band: client.band, queueTimeoutMs: client.maxWaitMs ?? limits.queueTimeoutMs, receivedMs },
      deps.clock,
    ),
  };
  const generate = endpoint.isCacheable ? serveKept : serveGeneration;
  await serveBanked(generation, idempotencyKey, deps, (banked) => generate(banked, deps));
}

async function readArrival(arrival: ClientArrival, received: HeldBody | null, room: BodyRoom): Promise<RelayedRequest> {
  const { id, client, endpoint, path, request, sink, receivedMs, trace } = arrival;
  const { body, facts, notes } = await examine(arrival, received, room);
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
    notes,
    work: classify(facts.billable),
    receivedMs,
    sink,
    trace,
  };
}

/** Takes out of the body what is to be known of it, the one time it is read, and puts another in its place where a policy changes it. */
async function examine(
  { client, endpoint, request }: ClientArrival,
  received: HeldBody | null,
  room: BodyRoom,
): Promise<Pick<RelayedRequest, 'body' | 'facts' | 'notes'>> {
  const contentType = request.headers['content-type'];
  const look = (bytes: Buffer | null) => {
    const facts = readRequestBody(endpoint.id, contentType, bytes ?? NO_BODY);
    const allowed = requireFree(client, { body: bytes, facts, endpointId: endpoint.id, contentType });
    return { ...allowed, isChanged: allowed.body !== bytes };
  };
  const { body: changed, isChanged, facts, notes } = received ? await received.look(look) : look(null);
  if (!isChanged || changed === null) return { body: received, facts, notes };
  await received?.release();
  return { body: HeldBody.of(changed, { room }), facts, notes };
}

function bodyLimitOf({ bodyLimitBytes }: Endpoint, limits: RelayLimits): number {
  return Math.min(limits.bodyBytes, bodyLimitBytes ?? Infinity);
}

function readKey(header: string | string[] | undefined): string | undefined {
  const read = readIdempotencyKey(header);
  if (read.fault !== undefined) throw new ProxyError('client_invalid_field', { message: read.fault });
  return read.key;
}
