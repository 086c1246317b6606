// Where the steps of a request can be watched from outside, through node:diagnostics_channel. Without a watcher they cost one
// look each. What is told never holds a token, a prompt, a picture or an e-mail address.
import { tracingChannel, type TracingChannel } from 'node:diagnostics_channel';

/** What every step says of its request. */
export interface StepMessage {
  requestId: string;
  /** Id in the endpoint table. */
  endpoint?: string | undefined;
  model?: string | undefined;
}

/** A request from its arrival to its end; the fields without a value are filled in on its way. */
export interface RequestMessage extends StepMessage {
  dialect: string;
  method: string;
  /** W3C trace context that the client sent. */
  traceparent?: string | undefined;
  tracestate?: string | undefined;
  client?: string | undefined;
  account?: string | undefined;
  outcome?: string | undefined;
  status?: number | undefined;
  errorCode?: string | undefined;
  sends?: number | undefined;
  chargedAnlas?: number | undefined;
}

/** The wait for an account. */
export interface QueueMessage extends StepMessage {
  slot: string;
  /** The one it was given. */
  account?: string | undefined;
}

/** One attempt at NovelAI. */
export interface UpstreamMessage extends StepMessage {
  account: string;
  /** Set by a watcher before the request goes out, where NovelAI is to be told of the trace. */
  traceparent?: string | undefined;
  baseUrl?: string | undefined;
  status?: number | undefined;
  /** What broke. */
  failure?: string | undefined;
  wasSent?: boolean | undefined;
}

/** `novelai-proxy:relay` is what is left to bring the client when NovelAI is done. */
export const traceChannels = {
  request: tracingChannel<unknown, RequestMessage>('novelai-proxy:request'),
  admit: tracingChannel<unknown, StepMessage>('novelai-proxy:admit'),
  queue: tracingChannel<unknown, QueueMessage>('novelai-proxy:queue'),
  upstream: tracingChannel<unknown, UpstreamMessage>('novelai-proxy:upstream'),
  relay: tracingChannel<unknown, StepMessage>('novelai-proxy:relay'),
} as const;

/** Runs a step and tells its beginning and end to whoever watches. `message` is only made when somebody does. */
export function traced<Message extends StepMessage, Result>(
  channel: TracingChannel<unknown, Message>,
  message: () => Message,
  run: (message?: Message) => Promise<Result>,
): Promise<Result> {
  if (!channel.start.hasSubscribers) return run();
  const facts = message();
  return channel.tracePromise(() => run(facts), facts);
}
