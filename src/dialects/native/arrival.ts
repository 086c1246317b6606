// One request as it came in on one of NovelAI's paths, known to be allowed there.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Client } from '../../clients/client-registry.ts';
import type { Endpoint } from '../../novelai/endpoints.ts';
import type { RequestMessage } from '../../telemetry/trace-channels.ts';
import type { NativeSink } from './native-sink.ts';

export interface Arrival {
  id: string;
  request: IncomingMessage;
  response: ServerResponse;
  sink: NativeSink;
  endpoint: Endpoint;
  /** As NovelAI knows it, without the query. */
  path: string;
  /** Monotonic milliseconds. */
  receivedMs: number;
  /** Where the request is watched. */
  trace?: RequestMessage | undefined;
}

/** An arrival whose sender is known. */
export interface ClientArrival extends Arrival {
  client: Client;
}
