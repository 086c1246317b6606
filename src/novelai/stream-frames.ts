// The two forms of NovelAI's image stream: length-prefixed msgpack frames and server-sent events (contract 3.2).
import { decode, encode } from '@msgpack/msgpack';

/** A picture on its way: JPEG, with the number of the step it shows. */
export interface IntermediateEvent {
  event_type: 'intermediate';
  samp_ix: number;
  step_ix: number;
  /** The same for all events of one request. */
  gen_id: number;
  sigma: number;
  image: Uint8Array;
}

/** The finished picture of one sample: PNG or WebP. */
export interface FinalEvent {
  event_type: 'final';
  samp_ix: number;
  gen_id: number;
  image: Uint8Array;
}

/** A failure after the stream began, inside the 200. */
export interface StreamErrorEvent {
  event_type: 'error';
  message: string;
  samp_ix: number;
  code?: number | string;
}

export type StreamEvent = IntermediateEvent | FinalEvent | StreamErrorEvent;

/** What a frame holds when it comes from outside: a map with an event type, the rest as sent. */
export interface ReceivedEvent extends Record<string, unknown> {
  event_type: string;
}

export const MSGPACK_CONTENT_TYPE = 'application/msgpack';
export const SSE_CONTENT_TYPE = 'text/event-stream';

/** More than any picture NovelAI makes; a longer frame is a fault. */
const LARGEST_FRAME_BYTES = 64 * 1024 * 1024;
const LENGTH_BYTES = 4;

/** Thrown by the reader when the bytes are no image stream; the rest of that stream cannot be read. */
export class StreamFrameError extends Error {
  override readonly name = 'StreamFrameError';
}

/** Gives one frame: uint32 big-endian length and the event as a msgpack map, members in the order given. */
export function encodeStreamFrame(event: StreamEvent): Buffer {
  const body = encode(event);
  const frame = Buffer.allocUnsafe(LENGTH_BYTES + body.length);
  frame.writeUInt32BE(body.length, 0);
  frame.set(body, LENGTH_BYTES);
  return frame;
}

/** Gives one event of exactly three lines: `event`, `data` as compact JSON, and the empty one. */
export function encodeServerSentEvent(name: string, data: unknown): Buffer {
  return Buffer.from(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`, 'utf8');
}

/** Gives an image stream's event as a server-sent one: the same members, the picture in base64. */
export function encodeStreamEventAsSse(event: StreamEvent): Buffer {
  if (event.event_type === 'error') return encodeServerSentEvent('error', event);
  const { buffer, byteOffset, byteLength } = event.image;
  const image = Buffer.from(buffer, byteOffset, byteLength).toString('base64');
  return encodeServerSentEvent(event.event_type, { ...event, image });
}

/**
 * Cuts a msgpack stream into events, however its bytes are chunked. Costs one copy of each byte, so that the events may be
 * kept after the chunk's memory is used again.
 */
export class StreamFrameReader {
  readonly #largestFrameBytes: number;
  readonly #header = Buffer.alloc(LENGTH_BYTES);
  #headerBytes = 0;
  #frame: Buffer | undefined;
  #frameBytes = 0;
  #hasFailed = false;

  constructor({ largestFrameBytes = LARGEST_FRAME_BYTES }: { largestFrameBytes?: number } = {}) {
    this.#largestFrameBytes = largestFrameBytes;
  }

  /** True when the bytes so far end within a frame: at the end of the connection that means it was cut. */
  get isInsideFrame(): boolean {
    return this.#headerBytes > 0;
  }

  /**
   * Takes the next bytes and gives the events they complete. Throws StreamFrameError for a frame that is too long, or no
   * msgpack map with an `event_type`; from then on always.
   */
  push(chunk: Uint8Array): ReceivedEvent[] {
    if (this.#hasFailed) throw new StreamFrameError('The stream cannot be read on after a broken frame.');
    const events: ReceivedEvent[] = [];
    let at = 0;
    while (at < chunk.length) {
      at += this.#frame === undefined ? this.#takeHeader(chunk, at) : this.#takeBody(this.#frame, chunk, at);
      if (this.#frame === undefined || this.#frameBytes < this.#frame.length) continue;
      events.push(this.#read(this.#frame));
      this.#frame = undefined;
      this.#headerBytes = 0;
    }
    return events;
  }

  #takeHeader(chunk: Uint8Array, at: number): number {
    const taken = Math.min(LENGTH_BYTES - this.#headerBytes, chunk.length - at);
    this.#header.set(chunk.subarray(at, at + taken), this.#headerBytes);
    this.#headerBytes += taken;
    if (this.#headerBytes === LENGTH_BYTES) {
      const sizeBytes = this.#header.readUInt32BE(0);
      if (sizeBytes > this.#largestFrameBytes) {
        this.#fail(`A frame of ${sizeBytes} bytes was announced; at most ${this.#largestFrameBytes} are read.`);
      }
      this.#frame = Buffer.allocUnsafeSlow(sizeBytes);
      this.#frameBytes = 0;
    }
    return taken;
  }

  #takeBody(frame: Buffer, chunk: Uint8Array, at: number): number {
    const taken = Math.min(frame.length - this.#frameBytes, chunk.length - at);
    frame.set(chunk.subarray(at, at + taken), this.#frameBytes);
    this.#frameBytes += taken;
    return taken;
  }

  #read(frame: Buffer): ReceivedEvent {
    let value: unknown;
    try {
      value = decode(frame);
    } catch (cause) {
      this.#fail(`A frame of ${frame.length} bytes is no msgpack.`, cause);
    }
    if (!isEvent(value)) return this.#fail('A frame is no msgpack map with an event_type.');
    return value;
  }

  #fail(message: string, cause?: unknown): never {
    this.#hasFailed = true;
    throw new StreamFrameError(message, { cause });
  }
}

function isEvent(value: unknown): value is ReceivedEvent {
  return typeof value === 'object' && value !== null && 'event_type' in value && typeof value.event_type === 'string';
}
