// Somebody who looks on while an answer passes to the client: a store of results, for instance.
import type { ReplyHeaders } from './reply-sink.ts';

/**
 * Sees the answer that stands for the client, byte for byte, and goes on seeing it when the client has left. Answers of the
 * service's own, and NovelAI's refusals that led to another try, are not shown. Must neither throw nor wait.
 */
export interface AnswerTap {
  head(status: number, headers: ReplyHeaders): void;
  data(chunk: Buffer): void;
  /** The last call; `isWhole` false when the answer broke off. */
  end(isWhole: boolean): void;
}
