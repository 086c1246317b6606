// A client's end of the line that is none: collects an answer whole, so that it can be given to several clients.
import { ProxyError } from '../../lib/proxy-error.ts';
import type { ReplyHeaders, ReplySink } from '../reply-sink.ts';

/** An answer as a whole, or the service's own error in its place. */
export type WholeAnswer =
  | { kind: 'answer'; status: number; headers: ReplyHeaders; body: Buffer }
  | { kind: 'refused'; error: ProxyError };

/** Answers that are shared are lists of a few KB; one this large is none of them. */
const LARGEST_ANSWER_BYTES = 4 * 1024 ** 2;

export class WholeAnswerSink implements ReplySink {
  /** Nobody can leave: several clients may be waiting for this answer. */
  readonly isOpen = true;
  /** Resolves with the answer; never rejects. */
  readonly answer: Promise<WholeAnswer>;
  #resolve: (answer: WholeAnswer) => void = () => undefined;
  #status = 0;
  #headers: ReplyHeaders = {};
  #chunks: Buffer[] = [];
  #sizeBytes = 0;

  constructor() {
    this.answer = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  onGone(): void {
    // Never called back.
  }

  head(status: number, headers: ReplyHeaders): void {
    this.#status = status;
    this.#headers = headers;
  }

  write(chunk: Buffer): boolean {
    this.#sizeBytes += chunk.length;
    if (this.#sizeBytes <= LARGEST_ANSWER_BYTES) this.#chunks.push(chunk);
    else this.#chunks = [];
    return true;
  }

  onDrain(callback: () => void): void {
    callback();
  }

  end(callback: () => void): void {
    const isTooLarge = this.#sizeBytes > LARGEST_ANSWER_BYTES;
    this.#resolve(
      isTooLarge
        ? { kind: 'refused', error: new ProxyError('upstream_unreadable') }
        : { kind: 'answer', status: this.#status, headers: this.#headers, body: Buffer.concat(this.#chunks) },
    );
    callback();
  }

  cut(): void {
    this.refuse(new ProxyError('upstream_broken'));
  }

  refuse(error: ProxyError): void {
    this.#resolve({ kind: 'refused', error });
  }
}
