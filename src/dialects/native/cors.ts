// Lets web pages of other origins use the service, as NovelAI lets them (contract 1, "CORS").
import type { IncomingMessage, ServerResponse } from 'node:http';
import { findEndpoint } from '../../novelai/endpoints.ts';

/** NovelAI's two, and what this service and NovelAI's own page read besides. */
const ALLOWED_HEADERS = 'Authorization, Content-Type, Idempotency-Key, x-correlation-id, x-initiated-at';
const EXPOSED_HEADERS =
  'Content-Disposition, Retry-After, x-request-id, x-queue-wait, x-proxy-error, x-proxy-cache, x-anlas-saved';
const PREFLIGHT_AGE_SECONDS = 600;

/** Answers for origins: all (`*`), those listed, or none. */
export class Cors {
  readonly #origins: ReadonlySet<string>;

  /** `origins` as in `CORS_ORIGINS`: `['*']`, a list of origins, or none. */
  constructor(origins: readonly string[]) {
    this.#origins = new Set(origins);
  }

  /**
   * Puts the headers on an answer, whatever it will be: also errors must be readable to the page. Tokens travel in a header and
   * no cookies exist, so `*` gives a page nothing that it does not already have.
   */
  apply(request: IncomingMessage, response: ServerResponse): void {
    const { origin } = request.headers;
    if (origin === undefined || this.#origins.size === 0) return;
    const isForAll = this.#origins.has('*');
    if (!isForAll) response.setHeader('vary', 'Origin');
    if (!isForAll && !this.#origins.has(origin)) return;
    response.setHeader('access-control-allow-origin', isForAll ? '*' : origin);
    response.setHeader('access-control-allow-headers', ALLOWED_HEADERS);
    response.setHeader('access-control-allow-methods', allowedMethods(request).join(', '));
    response.setHeader('access-control-expose-headers', EXPOSED_HEADERS);
  }

  /** Answers an OPTIONS request: a browser's question before the real one. It comes without a token. */
  answerPreflight(request: IncomingMessage, response: ServerResponse): void {
    const isAllowed = response.hasHeader('access-control-allow-origin');
    response.writeHead(204, {
      allow: [...allowedMethods(request), 'OPTIONS'].join(', '),
      ...(isAllowed && { 'access-control-max-age': String(PREFLIGHT_AGE_SECONDS) }),
    });
    response.end();
  }
}

/** The methods of the path, or the one asked for where there is no such path: the error is then for the page to see. */
function allowedMethods({ url = '/', method = 'GET', headers }: IncomingMessage): readonly string[] {
  const match = findEndpoint('OPTIONS', url);
  return match && 'allow' in match ? match.allow : [headers['access-control-request-method'] ?? method];
}
