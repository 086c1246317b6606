// Turns the messages of the trace channels into OpenTelemetry spans, each below the one that was open when it began.
import { AsyncLocalStorage } from 'node:async_hooks';
import type { TracingChannel } from 'node:diagnostics_channel';
import type * as Api from '@opentelemetry/api';
import {
  traceChannels,
  type QueueMessage,
  type RequestMessage,
  type StepMessage,
  type UpstreamMessage,
} from './trace-channels.ts';

export interface SpansOptions {
  /** OpenTelemetry's API, which is loaded only where traces are wanted. */
  api: typeof Api;
  tracer: Api.Tracer;
  /** Whether NovelAI gets the `traceparent` of its span. */
  propagates: boolean;
}

interface SpanShape<Message> {
  name: (message: Message) => string;
  kind: Api.SpanKind;
  parent?: (message: Message) => Api.Context | undefined;
  /** Read at the end, when the message is complete. */
  attributes: (message: Message) => Api.Attributes;
  /** Name of the error it ended with. */
  errorOf?: (message: Message) => string | undefined;
  onStart?: (message: Message, context: Api.Context) => void;
}

/** Begins to make spans; gives a function that stops it. Our names follow the GenAI and HTTP semantic conventions. */
export function watchSpans({ api, tracer, propagates }: SpansOptions): () => void {
  const { SpanKind } = api;
  const contexts = new AsyncLocalStorage<Api.Context>();
  const watch = <Message extends StepMessage>(
    channel: TracingChannel<unknown, Message>,
    shape: SpanShape<Message>,
  ): (() => void) => watchChannel(channel, shape, { api, tracer, contexts });
  const stops = [
    watch<RequestMessage>(traceChannels.request, {
      name: ({ method, endpoint = 'unknown' }) => `${method} ${endpoint}`,
      kind: SpanKind.SERVER,
      parent: ({ traceparent, tracestate }) =>
        traceparent === undefined
          ? undefined
          : api.propagation.extract(api.ROOT_CONTEXT, { traceparent, ...(tracestate !== undefined && { tracestate }) }),
      attributes: requestAttributes,
      errorOf: ({ outcome, errorCode }) => (outcome === 'succeeded' ? undefined : (errorCode ?? outcome)),
    }),
    watch<StepMessage>(traceChannels.admit, {
      name: () => 'admit',
      kind: SpanKind.INTERNAL,
      attributes: stepAttributes,
    }),
    watch<QueueMessage>(traceChannels.queue, {
      name: ({ slot }) => `queue ${slot}`,
      kind: SpanKind.INTERNAL,
      attributes: (message) => ({
        ...stepAttributes(message),
        'novelai_proxy.slot': message.slot,
        ...given('novelai_proxy.account', message.account),
      }),
    }),
    watch<UpstreamMessage>(traceChannels.upstream, {
      name: (message) => [operationOf(message), message.model].filter(Boolean).join(' '),
      kind: SpanKind.CLIENT,
      attributes: upstreamAttributes,
      errorOf: ({ failure, status }) => failure ?? (status !== undefined && status >= 400 ? String(status) : undefined),
      onStart(message, context) {
        if (!propagates) return;
        const carrier: Record<string, string> = {};
        api.propagation.inject(context, carrier);
        message.traceparent = carrier['traceparent'];
      },
    }),
    watch<StepMessage>(traceChannels.relay, {
      name: () => 'relay',
      kind: SpanKind.INTERNAL,
      attributes: stepAttributes,
    }),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}

interface SpanMakers {
  api: typeof Api;
  tracer: Api.Tracer;
  contexts: AsyncLocalStorage<Api.Context>;
}

function watchChannel<Message extends StepMessage>(
  channel: TracingChannel<unknown, Message>,
  shape: SpanShape<Message>,
  { api, tracer, contexts }: SpanMakers,
): () => void {
  const spans = new WeakMap<object, Api.Span>();
  // Runs before the step does; what it gives is the context of all that the step does.
  channel.start.bindStore(contexts, (message) => {
    const parent = shape.parent?.(message) ?? contexts.getStore() ?? api.ROOT_CONTEXT;
    const span = tracer.startSpan(shape.name(message), { kind: shape.kind }, parent);
    spans.set(message, span);
    const context = api.trace.setSpan(parent, span);
    shape.onStart?.(message, context);
    return context;
  });
  const onEnd = (data: unknown) => {
    const message = data as Message & { error?: unknown };
    const span = spans.get(message);
    if (!span) return;
    spans.delete(message);
    // The endpoint may not have been known at the start.
    span.updateName(shape.name(message));
    span.setAttributes(shape.attributes(message));
    const error = shape.errorOf?.(message) ?? (message.error === undefined ? undefined : errorName(message.error));
    if (error !== undefined) {
      span.setAttribute('error.type', error);
      span.setStatus({ code: api.SpanStatusCode.ERROR });
    }
    span.end();
  };
  channel.asyncEnd.subscribe(onEnd);
  return () => {
    channel.start.unbindStore(contexts);
    channel.asyncEnd.unsubscribe(onEnd);
  };
}

function stepAttributes({ requestId, endpoint }: StepMessage): Api.Attributes {
  return { 'novelai_proxy.request_id': requestId, ...given('novelai_proxy.endpoint', endpoint) };
}

function requestAttributes(message: RequestMessage): Api.Attributes {
  return {
    ...stepAttributes(message),
    ...modelAttributes(message),
    'http.request.method': message.method,
    'novelai_proxy.dialect': message.dialect,
    ...given('http.response.status_code', message.status),
    ...given('novelai_proxy.client', message.client),
    ...given('novelai_proxy.account', message.account),
    ...given('novelai_proxy.outcome', message.outcome),
    ...given('novelai_proxy.sends', message.sends),
    ...given('novelai_proxy.charged_anlas', message.chargedAnlas),
  };
}

function upstreamAttributes(message: UpstreamMessage): Api.Attributes {
  const url = message.baseUrl === undefined ? undefined : new URL(message.baseUrl);
  return {
    ...stepAttributes(message),
    ...modelAttributes(message),
    'novelai_proxy.account': message.account,
    ...given('server.address', url?.hostname),
    ...given('server.port', url && Number(url.port || (url.protocol === 'http:' ? 80 : 443))),
    ...given('http.response.status_code', message.status),
    ...given('novelai_proxy.was_sent', message.wasSent),
  };
}

function modelAttributes(message: StepMessage): Api.Attributes {
  return {
    'gen_ai.provider.name': 'novelai',
    'gen_ai.operation.name': operationOf(message),
    ...given('gen_ai.request.model', message.model),
  };
}

/** In the words of the GenAI semantic conventions; they have none for pictures alone. */
function operationOf({ endpoint = '' }: StepMessage): string {
  if (endpoint === 'text-chat-completions') return 'chat';
  return endpoint.startsWith('text-') ? 'text_completion' : 'generate_content';
}

function given(name: string, value: string | number | boolean | undefined): Api.Attributes {
  return value === undefined ? {} : { [name]: value };
}

/** A code or a class, never a message: messages may quote what a client sent. */
function errorName(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}
