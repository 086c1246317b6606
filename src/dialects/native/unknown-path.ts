// What is said to somebody who asks for a path that NovelAI has not, or with a method that it does not take.
import { ProxyError } from '../../lib/proxy-error.ts';
import { ENDPOINTS, findEndpoint, type EndpointMatch } from '../../novelai/endpoints.ts';

const LONGEST_PATH_CHARACTERS = 200;

/** Every path of NovelAI's that the service answers, as `POST /ai/generate-image`. */
export const SERVED_PATHS: readonly string[] = Object.freeze(
  ENDPOINTS.filter(({ answers }) => answers.by !== 'refused').flatMap(({ methods, path }) =>
    methods.map((method) => `${method} ${path}`),
  ),
);

/** The service's own, as its OpenAPI document describes them. */
export const OWN_PATHS: readonly string[] = Object.freeze([
  'GET /',
  'GET /livez',
  'GET /metrics',
  'GET /openapi.json',
  'GET /readyz',
  'GET /v1/queue',
  'GET /version',
  'POST /v1/price',
]);

/**
 * Finds the endpoint that a request means.
 * @throws {ProxyError} 404 with the list of what exists, or 405 with the methods that are allowed.
 */
export function requireEndpoint(method: string, url: string): Extract<EndpointMatch, { found: unknown }> {
  const match = findEndpoint(method, url);
  if (!match) throw unknownPath(method, url);
  if ('allow' in match) throw new ProxyError('client_method_not_allowed', { allow: match.allow });
  return match;
}

/** Gives the 404 for a path. Its query is left out: tokens end up in queries. */
export function unknownPath(method: string, url: string): ProxyError {
  const path = url.split('?', 1)[0]?.slice(0, LONGEST_PATH_CHARACTERS) ?? '';
  return new ProxyError('client_unknown_path', {
    message: `Not Found: there is no ${method} ${path} here. What there is stands in "details".`,
    details: { available: [...SERVED_PATHS, ...OWN_PATHS] },
  });
}
