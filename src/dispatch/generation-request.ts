// One request for a generation, whatever dialect it came in: the only form the dispatch rooms know.
import type { Band } from '../scheduler/fair-scheduler.ts';
import type { SlotKind, WorkClass } from '../accounts/work-class.ts';
import type { HostRole } from '../config/config.ts';
import type { RequestFacts } from '../novelai/request-body.ts';
import type { ReplySink } from './reply-sink.ts';

/** The program that asks, as far as the queue and the log go. */
export interface RequestingClient {
  name: string;
}

export interface GenerationRequest {
  id: string;
  client: RequestingClient;
  /** Id in the endpoint table, such as `generate-image`. */
  endpointId: string;
  role: HostRole;
  slot: SlotKind;
  method: string;
  /** Path and query as they go to NovelAI. */
  path: string;
  /** What of the client's headers goes to NovelAI; never its credentials. */
  headers: Record<string, string>;
  /** Exactly what the client sent, held once. */
  body: Buffer | null;
  facts: RequestFacts;
  work: WorkClass;
  band: Band;
  /** Latest time at which it may leave the queue; monotonic milliseconds. */
  deadlineMs: number;
  receivedMs: number;
  sink: ReplySink;
}
