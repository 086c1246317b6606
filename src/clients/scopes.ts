// What a client may ask for at all: endpoints and dialects.
import type { ClientSettings, Dialect } from './client.ts';

export interface ScopedRequest {
  /** Id in the endpoint table. */
  endpointId: string;
  dialect: Dialect;
}

/** Gives one sentence when the request is outside the client's scopes (to be answered with 403), or undefined. */
export function scopeRefusal(
  { endpoints, dialects }: Pick<ClientSettings, 'endpoints' | 'dialects'>,
  { endpointId, dialect }: ScopedRequest,
): string | undefined {
  if (dialects && !dialects.includes(dialect))
    return `This token may not use the ${dialect} interface; it may use: ${dialects.join(', ')}.`;
  if (endpoints && !endpoints.includes(endpointId))
    return `This token may not use ${endpointId}; it may use: ${endpoints.join(', ')}.`;
  return undefined;
}
