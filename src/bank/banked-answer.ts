// An answer that was kept, as whoever sends it again sees it.
import type { Readable } from 'node:stream';

export type AnswerHeaders = Record<string, string | string[]>;

/** Status and headers as they are kept. */
export interface AnswerHead {
  status: number;
  headers: AnswerHeaders;
}

/** Why an answer is given again: its Idempotency-Key, or the client's connection having been lost before. */
export type ReplaySource = 'idempotency-key' | 'lost-connection';

export interface BankedAnswer {
  /** Id of the request that it answered first. */
  requestId: string;
  source: ReplaySource;
  status: number;
  /** What shapes the body, its length, and `x-proxy-replay` with the source. */
  headers: AnswerHeaders;
  sizeBytes: number;
  keptAtMs: number;
  /** Opens the body; it fails with ENOENT if the file has been displaced in this very moment. */
  read(): Readable;
  /**
   * To be told at the end: whether the client has it now. An answer to a lost connection is given to one request only, so
   * that the next one with the same body makes a new picture; undelivered, it waits on.
   */
  settle(isDelivered: boolean): void;
}

/** The header that marks an answer that was given again. */
export const REPLAY_HEADER = 'x-proxy-replay';

/** What describes the body; everything else was about the one request. */
const KEPT_HEADERS = [
  'content-type',
  'content-disposition',
  'content-encoding',
  'content-language',
  'cache-control',
] as const;

/** Gives what of an answer's headers is worth keeping. */
export function keptHeaders(headers: AnswerHeaders): AnswerHeaders {
  return Object.fromEntries(
    KEPT_HEADERS.flatMap((name) => (headers[name] === undefined ? [] : [[name, headers[name]] as const])),
  );
}
