// The client's end of the line, as the dispatch rooms see it: HTTP without knowing HTTP's library.
import type { ProxyError } from '../lib/proxy-error.ts';

export type ReplyHeaders = Record<string, string | string[]>;

export interface ReplySink {
  /** False once the client has gone. */
  readonly isOpen: boolean;
  /** Calls back once if the client goes before the answer has ended; at once when it has gone already. */
  onGone(callback: () => void): void;
  head(status: number, headers: ReplyHeaders): void;
  /** Gives false when the client reads slower than this is written; `onDrain` tells when it has caught up. */
  write(chunk: Buffer): boolean;
  onDrain(callback: () => void): void;
  /** Ends the answer; calls back when the last byte has been handed to the system, or the client has gone. */
  end(callback: () => void): void;
  /** Cuts the connection in the middle of an answer, so that the client cannot take it for whole. */
  cut(): void;
  /** Answers with an error of the service's own, in the dialect's form. */
  refuse(error: ProxyError, headers?: ReplyHeaders): void;
}
