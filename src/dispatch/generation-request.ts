// One request for NovelAI, whatever dialect it came in: the only form the dispatch rooms know.
import type { Band } from '../scheduler/fair-scheduler.ts';
import type { SlotKind, WorkClass } from '../accounts/work-class.ts';
import type { Client, Dialect } from '../clients/client.ts';
import type { HostRole } from '../config/config.ts';
import type { RequestFacts } from '../novelai/request-body.ts';
import type { RequestMessage } from '../telemetry/trace-channels.ts';
import type { AnswerTap } from './answer-tap.ts';
import type { HeldBody } from './bodies/held-body.ts';
import type { ReplyHeaders, ReplySink } from './reply-sink.ts';

/** The program that asks, as far as the queue and the log go. */
export type RequestingClient = Pick<
  Client,
  | 'id'
  | 'name'
  | 'weight'
  | 'maxQueued'
  | 'maxInFlight'
  | 'anlasPerDay'
  | 'anlasPerMonth'
  | 'anlasTotal'
  | 'imagesPerDay'
>;

/** What is sent to NovelAI and answered with what NovelAI says: a read, or more (`GenerationRequest`). */
export interface RelayedRequest {
  id: string;
  /** The form it came in, for the metrics; native when absent. */
  dialect?: Dialect | undefined;
  client: RequestingClient;
  /** Id in the endpoint table, such as `generate-image`. */
  endpointId: string;
  role: HostRole;
  method: string;
  /** Path and query as they go to NovelAI. */
  path: string;
  /** What of the client's headers goes to NovelAI; never its credentials. */
  headers: Record<string, string>;
  /** Exactly what is to be sent, held once: in memory, or in a file while it waits. */
  body: HeldBody | null;
  facts: RequestFacts;
  work: WorkClass;
  receivedMs: number;
  sink: ReplySink;
  /** Further headers for the answer, such as what a policy changed in the request. */
  notes?: ReplyHeaders | undefined;
  /** Sees NovelAI's answer too, also when the client does not wait for it. */
  tap?: AnswerTap | undefined;
  /** Where it is watched: what is to be told of it at its end. */
  trace?: RequestMessage | undefined;
}

/** A request that takes an account's slot, and so waits in the queue. */
export interface GenerationRequest extends RelayedRequest {
  slot: SlotKind;
  band: Band;
  /** Latest time at which it may leave the queue; monotonic milliseconds. */
  deadlineMs: number;
}
