// Records one answer as it passes to the client, when it is one that can be used again.
import type { AnswerTap } from '../answer-tap.ts';
import type { ReplyHeaders } from '../reply-sink.ts';
import type { KeptAnswer } from './kept-answers.ts';

/** About twenty times an encoded vibe; what is larger is none. */
const LARGEST_BODY_BYTES = 1024 ** 2;
const KEPT_HEADERS = ['content-type', 'content-disposition'] as const;

export class AnswerRecorder implements AnswerTap {
  readonly #onAnswer: (answer: KeptAnswer) => void;
  #headers: Record<string, string> | undefined;
  #chunks: Buffer[] = [];
  #sizeBytes = 0;

  /** `onAnswer` gets the answer as it ends, if it was a whole, successful and binary one: errors are not worth keeping. */
  constructor(onAnswer: (answer: KeptAnswer) => void) {
    this.#onAnswer = onAnswer;
  }

  head(status: number, headers: ReplyHeaders): void {
    const isBinary = /^(application\/binary|binary\/octet-stream)$/.test(String(headers['content-type']));
    if (status !== 200 || !isBinary || headers['content-encoding'] !== undefined) return;
    this.#headers = {};
    for (const name of KEPT_HEADERS) if (headers[name] !== undefined) this.#headers[name] = String(headers[name]);
  }

  data(chunk: Buffer): void {
    this.#sizeBytes += chunk.length;
    if (this.#headers && this.#sizeBytes <= LARGEST_BODY_BYTES) this.#chunks.push(chunk);
    else this.#chunks = [];
  }

  end(isWhole: boolean): void {
    if (!isWhole || !this.#headers || this.#sizeBytes === 0 || this.#sizeBytes > LARGEST_BODY_BYTES) return;
    this.#onAnswer({ headers: this.#headers, body: Buffer.concat(this.#chunks) });
  }
}
