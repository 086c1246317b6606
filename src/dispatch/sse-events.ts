// Cuts a stream of server-sent events between its events, however the bytes arrive, without changing one of them.
import type { ReplyHeaders } from './reply-sink.ts';

/** Far above the largest event of NovelAI's (a finished picture in base64); a longer one is passed on in pieces. */
const LARGEST_EVENT_BYTES = 32 * 1024 ** 2;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/** Whether an answer is a stream of server-sent events whose bytes can be read as they are. */
export function isEventStream(headers: ReplyHeaders): boolean {
  const encoding = headers['content-encoding'] ?? 'identity';
  return /^\s*text\/event-stream\b/i.test(String(headers['content-type'])) && encoding === 'identity';
}

/**
 * Gives whole events, each with the blank line that ends it: several clients read each piece of network data as if it held
 * whole events (contract 8, Aedial and 7xrk). An event is given as soon as its last byte is there; only the part of an event is
 * ever held. Lines may end in LF or CRLF. A stream that ends them in a lone CR, or sends an event beyond all measure, is
 * passed on as it comes from there on.
 */
export class SseEventCutter {
  readonly #largestEventBytes: number;
  #held: Buffer[] = [];
  #heldBytes = 0;
  /** No byte of the current line has come yet, but for a CR that may end it. */
  #isAtLineStart = true;
  #endsInReturn = false;
  #isPassing = false;

  constructor({ largestEventBytes = LARGEST_EVENT_BYTES }: { largestEventBytes?: number } = {}) {
    this.#largestEventBytes = largestEventBytes;
  }

  /** Takes the next bytes; gives what can be written now, each piece in one write. */
  push(chunk: Buffer): Buffer[] {
    if (chunk.length === 0) return [];
    if (this.#isPassing || this.#hasLoneReturn(chunk)) return this.#passAll(chunk);
    const pieces: Buffer[] = [];
    let eventFrom = 0;
    let lineFrom = 0;
    for (let at = chunk.indexOf(LINE_FEED); at !== -1; at = chunk.indexOf(LINE_FEED, lineFrom)) {
      const isBlank = this.#isAtLineStart && isNothingButReturn(chunk, lineFrom, at);
      this.#isAtLineStart = true;
      lineFrom = at + 1;
      if (!isBlank) continue;
      pieces.push(this.#takeHeldWith(chunk.subarray(eventFrom, lineFrom)));
      eventFrom = lineFrom;
    }
    if (lineFrom < chunk.length && !isNothingButReturn(chunk, lineFrom, chunk.length)) this.#isAtLineStart = false;
    if (eventFrom < chunk.length) this.#hold(chunk.subarray(eventFrom));
    if (this.#heldBytes > this.#largestEventBytes) pieces.push(...this.#passAll());
    return pieces;
  }

  /** Gives what was held when the stream ended without a blank line. */
  rest(): Buffer | undefined {
    return this.#heldBytes > 0 ? this.#takeHeldWith() : undefined;
  }

  #hasLoneReturn(chunk: Buffer): boolean {
    if (this.#endsInReturn && chunk[0] !== LINE_FEED) return true;
    this.#endsInReturn = chunk[chunk.length - 1] === CARRIAGE_RETURN;
    for (let at = chunk.indexOf(CARRIAGE_RETURN); at !== -1; at = chunk.indexOf(CARRIAGE_RETURN, at + 1))
      if (at + 1 < chunk.length && chunk[at + 1] !== LINE_FEED) return true;
    return false;
  }

  #passAll(chunk?: Buffer): Buffer[] {
    this.#isPassing = true;
    if (this.#heldBytes > 0) return [this.#takeHeldWith(chunk)];
    return chunk ? [chunk] : [];
  }

  #hold(bytes: Buffer): void {
    this.#held.push(bytes);
    this.#heldBytes += bytes.length;
  }

  #takeHeldWith(bytes?: Buffer): Buffer {
    const pieces = bytes ? [...this.#held, bytes] : this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    const [only] = pieces;
    return only && pieces.length === 1 ? only : Buffer.concat(pieces);
  }
}

function isNothingButReturn(chunk: Buffer, from: number, to: number): boolean {
  return from === to || (from + 1 === to && chunk[from] === CARRIAGE_RETURN);
}
