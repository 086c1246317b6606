// NovelAI's own paths: turns each request into one GenerationRequest and lets the dispatch rooms serve it.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { classify } from '../../accounts/work-class.ts';
import type { ClientRegistry, Client } from '../../clients/client-registry.ts';
import { readAuthorization } from '../../clients/read-authorization.ts';
import type { DispatchDeps } from '../../dispatch/passage.ts';
import { serveGeneration } from '../../dispatch/serve-generation.ts';
import { ProxyError } from '../../lib/proxy-error.ts';
import { newRequestId } from '../../lib/random-text.ts';
import { findEndpoint, type EndpointMatch } from '../../novelai/endpoints.ts';
import { RequestBodyError } from '../../novelai/request-body-error.ts';
import { readRequestBody, type RequestFacts } from '../../novelai/request-body.ts';
import { NativeSink } from './native-sink.ts';
import { readBody } from './read-body.ts';
import { upstreamHeaders } from './upstream-headers.ts';

export interface NativeDialectOptions {
  clients: ClientRegistry;
  dispatch: DispatchDeps;
  bodyLimitBytes: number;
  /** How long a request may wait for an account. */
  queueTimeoutMs: number;
}

/** Serves NovelAI's paths. */
export class NativeDialect {
  readonly #options: NativeDialectOptions;

  constructor(options: NativeDialectOptions) {
    this.#options = options;
  }

  /** Whether a path is NovelAI's; everything else is the service's own. */
  owns(path: string): boolean {
    return /^\/*(ai|user|oa)\//.test(path);
  }

  /** Answers one request. Never throws. */
  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { clock, log } = this.#options.dispatch;
    const receivedMs = clock.monotonicMs();
    const id = newRequestId();
    const sink = new NativeSink(response);
    let client: Client | undefined;
    try {
      client = this.#authenticate(request);
      const target = matchEndpoint(request);
      await this.#serveGeneration({ request, response, sink, target, client, id, receivedMs });
    } catch (error) {
      const refusal = asProxyError(error);
      if (refusal.code === 'proxy_internal')
        log.error({ requestId: id, err: error }, 'a request failed inside the service');
      log.info(
        {
          requestId: id,
          client: client?.name,
          endpoint: request.url?.split('?', 1)[0]?.slice(0, 200),
          status: refusal.status,
          outcome: refusal.code === 'client_unauthorized' ? 'refused_auth' : 'refused_invalid',
          error: refusal.code,
        },
        'request',
      );
      if (sink.isOpen) sink.refuse(refusal, { 'x-request-id': id });
    }
  }

  #authenticate({ headers: { authorization } }: IncomingMessage): Client {
    const token = readAuthorization(authorization);
    const client = token === undefined ? undefined : this.#options.clients.find(token);
    if (!client) throw new ProxyError('client_unauthorized');
    return client;
  }

  async #serveGeneration({ request, response, sink, target, client, id, receivedMs }: Arrival): Promise<void> {
    const { found: endpoint, path } = target;
    const { bodyLimitBytes, queueTimeoutMs, dispatch } = this.#options;
    if (endpoint.answers.by === 'refused')
      throw new ProxyError('policy_endpoint_refused', { message: endpoint.answers.why });
    if (endpoint.slot === 'none') throw new ProxyError('client_unknown_path');
    const limitBytes = Math.min(bodyLimitBytes, endpoint.bodyLimitBytes ?? Infinity);
    const body = await readBody(request, response, limitBytes);
    const facts: RequestFacts = readRequestBody(endpoint.id, request.headers['content-type'], body ?? Buffer.alloc(0));
    const query = request.url?.indexOf('?') ?? -1;
    await serveGeneration(
      {
        id,
        client,
        endpointId: endpoint.id,
        role: endpoint.role,
        slot: endpoint.slot,
        // Some clients send GET with a body where NovelAI wants POST.
        method: endpoint.methods[0],
        path: path + (query === -1 ? '' : (request.url ?? '').slice(query)),
        headers: upstreamHeaders(request.headers),
        body,
        facts,
        work: classify(facts.billable),
        band: 'interactive',
        deadlineMs: receivedMs + queueTimeoutMs,
        receivedMs,
        sink,
      },
      dispatch,
    );
  }
}

type Target = Extract<EndpointMatch, { found: unknown }>;

interface Arrival {
  request: IncomingMessage;
  response: ServerResponse;
  sink: NativeSink;
  target: Target;
  client: Client;
  id: string;
  receivedMs: number;
}

function matchEndpoint({ method = 'GET', url = '/' }: IncomingMessage): Target {
  const match = findEndpoint(method, url);
  if (!match) throw new ProxyError('client_unknown_path');
  if ('allow' in match) throw new ProxyError('client_method_not_allowed', { allow: match.allow });
  return match;
}

function asProxyError(error: unknown): ProxyError {
  if (error instanceof ProxyError) return error;
  if (error instanceof RequestBodyError)
    return new ProxyError('client_invalid_body', { message: error.message, cause: error });
  return new ProxyError('proxy_internal', { cause: error });
}
