// What a client may do, in every dialect: which endpoints, how often, and whether it may cost Anlas.
import type { Client, Dialect } from '../clients/client.ts';
import { applyFreeOnly, describeChanges } from '../clients/free-only.ts';
import type { RateLimits } from '../clients/rate-limits.ts';
import { scopeRefusal } from '../clients/scopes.ts';
import type { RelayedRequest } from '../dispatch/generation-request.ts';
import { ProxyError } from '../lib/proxy-error.ts';
import type { EndpointId } from '../novelai/endpoints.ts';
import type { RequestFacts } from '../novelai/request-body.ts';

/** Tells a client what its policy changed in the request, such as `steps 50->28, width 1536->1024`. */
const CHANGED_HEADER = 'x-proxy-changed';

/** Before the body is read. @throws {ProxyError} when the client may not use the endpoint, or not so often. */
export function requirePermission(
  client: Client,
  request: { endpointId: EndpointId; dialect: Dialect },
  rateLimits: RateLimits,
): void {
  const outOfScope = scopeRefusal(client, request);
  if (outOfScope !== undefined) throw new ProxyError('policy_scope', { message: outOfScope });
  const waitMs = rateLimits.take(client);
  if (waitMs !== undefined)
    throw new ProxyError('client_rate_limited', {
      message: `This client may make ${client.requestsPerMinute} requests a minute.`,
      retryAfterMs: waitMs,
    });
}

/** What the free-only policy makes of a request: what is to be sent instead of what came in, and the note for the client. */
export interface FreeOnlyResult extends Pick<RelayedRequest, 'facts' | 'notes'> {
  body: Buffer | null;
}

/** After the body is read. @throws {ProxyError} when the request would cost Anlas and the client may not. */
export function requireFree(
  client: Client,
  request: { body: Buffer | null; facts: RequestFacts; endpointId: EndpointId; contentType: string | undefined },
): FreeOnlyResult {
  const { body, facts, endpointId, contentType } = request;
  if (client.freeOnly === 'off' || body === null) return { body, facts };
  const ruling = applyFreeOnly(client.freeOnly, { endpointId, contentType, body, facts });
  switch (ruling.kind) {
    case 'allow':
      return { body, facts };
    case 'reject':
      throw new ProxyError('policy_free_only', { message: `${ruling.field}: ${ruling.message}` });
    case 'clamp':
      return {
        body: ruling.body,
        facts: ruling.facts,
        notes: { [CHANGED_HEADER]: describeChanges(ruling.changes) },
      };
  }
}
