// A request that is being carried out, as the bank sees it: takes a copy of the answer, and learns how it ended.
import type { AnswerTee } from './answer-tee.ts';
import { keptHeaders, type AnswerHead, type AnswerHeaders } from './banked-answer.ts';

/** How a request ended. */
export interface TicketEnd {
  /** Whether the client has the whole answer. */
  isDelivered: boolean;
  /** Whether NovelAI may have charged it; then its key is never used for a second try, even if there is no answer to give again. */
  mayHaveCost: boolean;
}

export interface TicketOptions {
  requestId: string;
  clientId: string;
  idempotencyKey: string | null;
  /** See {@link requestHash}; worked out only where it is needed, and once. */
  hashOf: () => Promise<string>;
  /** Absent where nothing is kept. */
  tee: AnswerTee | undefined;
  isAlwaysKept: boolean;
  onClientLeft: (ticket: Ticket) => void;
  onEnd: (ticket: Ticket, end: TicketEnd) => Promise<void>;
}

/**
 * `head`, `data` and `end` are told NovelAI's answer as it passes; then exactly one of `finish` and `abandon` is called, whatever
 * happened. None of them throws, and only the last two take time.
 */
export class Ticket {
  readonly requestId: string;
  readonly clientId: string;
  readonly idempotencyKey: string | null;
  readonly isAlwaysKept: boolean;
  readonly #options: TicketOptions;
  /** Resolves when the request has ended and its answer is kept, or not. */
  readonly ended: Promise<void>;
  #head: AnswerHead | undefined;
  #isWhole = false;
  #isOrphan = false;
  #ending: Promise<void> | undefined;
  #tellEnded: () => void = () => undefined;

  constructor(options: TicketOptions) {
    this.#options = options;
    this.requestId = options.requestId;
    this.clientId = options.clientId;
    this.idempotencyKey = options.idempotencyKey;
    this.isAlwaysKept = options.isAlwaysKept;
    this.ended = new Promise((resolve) => {
      this.#tellEnded = resolve;
    });
  }

  /** The answer that stands begins. */
  head(status: number, headers: AnswerHeaders): void {
    this.#head = { status, headers: keptHeaders(headers) };
  }

  /** Takes a piece of the body, which must not be changed afterwards. */
  data(chunk: Buffer): void {
    if (this.#isWorthKeeping) this.#options.tee?.write(chunk);
  }

  /** The answer is complete, or broke off. */
  end(isWhole: boolean): void {
    this.#isWhole = isWhole;
  }

  /** The client has left before it had everything: the same request again waits for this answer instead of making a new one. */
  clientLeft(): void {
    if (this.#ending || this.#isOrphan) return;
    this.#isOrphan = true;
    this.#options.onClientLeft(this);
  }

  /** The request has ended. Resolves when the answer is kept, or it is certain that it is not. */
  finish(end: TicketEnd): Promise<void> {
    this.#ending ??= this.#options.onEnd(this, end).finally(() => this.#tellEnded());
    return this.#ending;
  }

  /** The request came to nothing, and surely cost nothing: as if it had never been made. */
  abandon(): Promise<void> {
    this.#isWhole = false;
    return this.finish({ isDelivered: false, mayHaveCost: false });
  }

  get isOrphan(): boolean {
    return this.#isOrphan;
  }

  /** Whether the answer is copied at all. */
  get isCopied(): boolean {
    return this.#options.tee !== undefined;
  }

  hash(): Promise<string> {
    return this.#options.hashOf();
  }

  /** The answer's head and its copy, when there is a whole one that is worth giving again. */
  get answer(): { head: AnswerHead; tee: AnswerTee } | undefined {
    const { tee } = this.#options;
    return this.#isWhole && this.#isWorthKeeping && this.#head && tee ? { head: this.#head, tee } : undefined;
  }

  async dropCopy(): Promise<void> {
    await this.#options.tee?.discard();
  }

  /** A refusal or an error is none: whoever comes again should have another try. */
  get #isWorthKeeping(): boolean {
    return this.#head !== undefined && this.#head.status >= 200 && this.#head.status < 300;
  }
}
