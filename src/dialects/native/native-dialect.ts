// NovelAI's own paths: who asks, for what, and which way the endpoint table says it is answered.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Client, ClientRegistry } from '../../clients/client-registry.ts';
import { readAuthorization } from '../../clients/read-authorization.ts';
import { ProxyError } from '../../lib/proxy-error.ts';
import { newRequestId } from '../../lib/random-text.ts';
import { traceChannels, traced, type RequestMessage } from '../../telemetry/trace-channels.ts';
import { asProxyError } from '../as-proxy-error.ts';
import { answerLogin, clientOfSession } from './answer-login.ts';
import { answerMadeUp } from './answer-made-up.ts';
import { answerRelayed, type RelayDeps, type RelayLimits } from './answer-relayed.ts';
import type { ClientArrival } from './arrival.ts';
import type { LoginDirectory } from './client-logins.ts';
import type { Cors } from './cors.ts';
import { NativeSink } from './native-sink.ts';
import { lingerOverBody, whenBodyIsOver } from './read-body.ts';
import { logAnswer, logRefusal } from './request-line.ts';
import { shownAccount, type BalanceView } from './shown-account.ts';
import { requireEndpoint } from './unknown-path.ts';

export interface NativeDialectOptions {
  clients: ClientRegistry;
  logins: LoginDirectory;
  balances: BalanceView;
  cors: Cors;
  dispatch: RelayDeps;
  limits: RelayLimits;
  /** Gives the error for a request that comes while none are taken; absent where that never happens. */
  refusal?: () => ProxyError | undefined;
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
  serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    return traced(
      traceChannels.request,
      () => newTrace(request),
      (trace) => this.#serve(request, response, trace),
    );
  }

  async #serve(request: IncomingMessage, response: ServerResponse, trace?: RequestMessage): Promise<void> {
    const { cors, logins, dispatch } = this.#options;
    const { clock } = dispatch;
    const receivedMs = clock.monotonicMs();
    cors.apply(request, response);
    if (request.method === 'OPTIONS') {
      cors.answerPreflight(request, response);
      return;
    }
    const id = trace?.requestId ?? newRequestId();
    const sink = new NativeSink(response);
    let client: Client | undefined;
    try {
      const stopping = this.#options.refusal?.();
      if (stopping) {
        await whenBodyIsOver(request, response);
        throw stopping;
      }
      const { found: endpoint, path } = requireEndpoint(request.method ?? 'GET', request.url ?? '/');
      const arrival = { id, request, response, sink, endpoint, path, receivedMs, trace };
      if (endpoint.id === 'user-login') {
        // How a client without a token gets one.
        client = await answerLogin(arrival, { logins, clock });
        logAnswer(dispatch, { ...arrival, client });
        return;
      }
      client = this.#authenticate(request);
      await this.#answer({ ...arrival, client });
    } catch (error) {
      const refusal = asProxyError(error);
      logRefusal(dispatch, { id, request, client, receivedMs, trace }, refusal);
      lingerOverBody(request, response);
      if (sink.isOpen) sink.refuse(refusal, { 'x-request-id': id });
    }
  }

  /** The endpoint table, followed. */
  async #answer(arrival: ClientArrival): Promise<void> {
    const { client, endpoint } = arrival;
    const { dispatch, limits, balances } = this.#options;
    const { clock, pool } = dispatch;
    switch (endpoint.answers.by) {
      case 'refused':
        throw new ProxyError('policy_endpoint_refused', { message: endpoint.answers.why });
      case 'made-up':
        answerMadeUp(arrival, await shownAccount(client, { pool, balances, clock }));
        logAnswer(dispatch, arrival);
        return;
      case 'relay':
        await answerRelayed(arrival, dispatch, limits);
    }
  }

  #authenticate({ headers: { authorization } }: IncomingMessage): Client {
    const { clients, logins, dispatch } = this.#options;
    const token = readAuthorization(authorization);
    const client =
      token === undefined
        ? undefined
        : (clients.find(token) ?? clientOfSession(token, { logins, clock: dispatch.clock }));
    if (!client) throw new ProxyError('client_unauthorized');
    return client;
  }
}

/** What is told of a request where it is watched. */
function newTrace({ method = 'GET', headers: { traceparent, tracestate } }: IncomingMessage): RequestMessage {
  const whole = (header: string | string[] | undefined) => (Array.isArray(header) ? header.join(',') : header);
  return {
    requestId: newRequestId(),
    dialect: 'native',
    method,
    traceparent: whole(traceparent),
    tracestate: whole(tracestate),
  };
}
