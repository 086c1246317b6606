// Carries NovelAI's answer to the client byte for byte, at the client's pace, without ever slowing NovelAI down for it.
import type { IncomingHttpHeaders } from 'node:http';
import { watchForStreamError, type StreamErrorWatch } from '../novelai/stream-error-watch.ts';
import type { AnswerTap } from './answer-tap.ts';
import { ReadAhead, type ReadAheadOptions } from './read-ahead.ts';
import type { ReplyHeaders, ReplySink } from './reply-sink.ts';
import { isEventStream, SseEventCutter } from './sse-events.ts';

/** What of NovelAI's answer reaches the client; everything else is between NovelAI's edge and this service. */
const PASSED_HEADERS = [
  'content-type',
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-length',
  'cache-control',
  'retry-after',
] as const;

export type Delivery = 'delivered' | 'client_left' | 'cut';

/** Gives the headers of an upstream answer that pass to the client. */
export function passedHeaders(upstream: IncomingHttpHeaders): ReplyHeaders {
  const headers: ReplyHeaders = {};
  for (const name of PASSED_HEADERS) {
    const value = upstream[name];
    if (value !== undefined) headers[name] = typeof value === 'string' ? asBytes(value) : value;
  }
  return headers;
}

/** Undici reads header values as UTF-8; Node writes them byte by byte and throws at what is no byte. */
function asBytes(value: string): string {
  return /[^\0-\xff]/.test(value) ? Buffer.from(value, 'utf8').toString('latin1') : value;
}

export class Relay {
  /** Resolves when the client has the whole answer, or has left. */
  readonly finished: Promise<Delivery>;
  readonly #sink: ReplySink;
  readonly #readAhead: ReadAhead;
  readonly #tap: AnswerTap | undefined;
  /** Set for server-sent events, which are written whole. */
  #events: SseEventCutter | undefined;
  #errorWatch: StreamErrorWatch | undefined;
  #finish: (delivery: Delivery) => void = () => undefined;
  #isClientSlow = false;
  #isPumping = false;
  #hasLeft = false;
  #sizeBytes = 0;

  /** Called when `push` had given false and there is room again. */
  onRoom: () => void = () => undefined;

  constructor(sink: ReplySink, readAhead: Omit<ReadAheadOptions, 'onRoom'>, tap?: AnswerTap) {
    this.#sink = sink;
    this.#tap = tap;
    this.#readAhead = new ReadAhead({ ...readAhead, onRoom: () => this.onRoom() });
    this.finished = new Promise((resolve) => {
      this.#finish = resolve;
    });
    sink.onGone(() => {
      this.#hasLeft = true;
      void this.#readAhead.close();
      this.#finish('client_left');
    });
  }

  /** Bytes that NovelAI has sent. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Whether NovelAI told of a failure inside the answer, whose status said that all was well. */
  get hasErrorEvent(): boolean {
    return this.#errorWatch?.hasError === true;
  }

  head(status: number, headers: ReplyHeaders): void {
    this.#tap?.head(status, headers);
    this.#errorWatch = watchForStreamError(
      String(headers['content-type']),
      headers['content-encoding'] !== undefined && headers['content-encoding'] !== 'identity',
    );
    if (isEventStream(headers)) this.#events = new SseEventCutter();
    if (!this.#hasLeft) this.#sink.head(status, headers);
  }

  /** Takes bytes from NovelAI; gives false when NovelAI should pause. */
  push(chunk: Buffer): boolean {
    this.#sizeBytes += chunk.length;
    this.#tap?.data(chunk);
    this.#errorWatch?.push(chunk);
    if (this.#hasLeft) return true;
    if (!this.#isClientSlow && !this.#isPumping) {
      if (this.#write(chunk)) return true;
      this.#isClientSlow = true;
      this.#sink.onDrain(() => {
        this.#isClientSlow = false;
        if (!this.#readAhead.isEmpty) void this.#pump();
      });
      return true;
    }
    return this.#readAhead.push(chunk);
  }

  /** NovelAI's answer is complete. */
  end(): void {
    // A failure is no result that is worth keeping.
    this.#tap?.end(!this.hasErrorEvent);
    this.#readAhead.end();
    if (this.#hasLeft) return;
    if (this.#readAhead.isEmpty && !this.#isPumping) this.#endAnswer();
    else if (!this.#isClientSlow) void this.#pump();
  }

  /** NovelAI's answer broke off: the client must not take it for whole. */
  cut(): void {
    this.#tap?.end(false);
    this.#cutOff();
  }

  #cutOff(): void {
    if (!this.#hasLeft) this.#sink.cut();
    this.#hasLeft = true;
    void this.#readAhead.close();
    this.#finish('cut');
  }

  /** Writes out what was read ahead until the client is slow again or all is written. */
  async #pump(): Promise<void> {
    if (this.#isPumping) return;
    this.#isPumping = true;
    try {
      for (;;) {
        const chunk = await this.#readAhead.next();
        if (this.#hasLeft) return;
        if (!chunk) break;
        if (!this.#write(chunk)) await new Promise<void>((resolve) => this.#sink.onDrain(resolve));
      }
      this.#endAnswer();
    } catch {
      this.#cutOff();
    } finally {
      this.#isPumping = false;
    }
  }

  /** Gives false when the client reads slower than this is written. */
  #write(chunk: Buffer): boolean {
    if (!this.#events) return this.#sink.write(chunk);
    let isClientKeepingUp = true;
    for (const event of this.#events.push(chunk)) isClientKeepingUp = this.#sink.write(event);
    return isClientKeepingUp;
  }

  #endAnswer(): void {
    void this.#readAhead.close();
    const rest = this.#events?.rest();
    if (rest) this.#sink.write(rest);
    this.#sink.end(() => this.#finish(this.#hasLeft ? 'client_left' : 'delivered'));
  }
}
