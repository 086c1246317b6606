// Looks for the one event that turns a streamed 200 into a failure, while the bytes pass by (contract 3.2).
import { decode } from '@msgpack/msgpack';
import { MSGPACK_CONTENT_TYPE, SSE_CONTENT_TYPE } from './stream-frames.ts';

export interface StreamErrorWatch {
  /** Takes the next bytes of the answer, however they are cut. */
  push(chunk: Buffer): void;
  /** Whether NovelAI has told of a failure inside the stream. */
  readonly hasError: boolean;
}

/** Gives a watch for an answer of this content type; undefined where it is no image stream, or one that cannot be read as it is. */
export function watchForStreamError(contentType: string, isEncoded: boolean): StreamErrorWatch | undefined {
  if (isEncoded) return undefined;
  const [type = ''] = contentType.split(';');
  switch (type.trim().toLowerCase()) {
    case MSGPACK_CONTENT_TYPE:
      return new MsgpackErrorWatch();
    case SSE_CONTENT_TYPE:
      return new SseErrorWatch();
    default:
      return undefined;
  }
}

const LENGTH_BYTES = 4;
/** An error's frame holds a sentence; a picture's is longer, and is passed over unread. */
const LARGEST_ERROR_FRAME_BYTES = 4096;

class MsgpackErrorWatch implements StreamErrorWatch {
  hasError = false;
  /** The length, or a short frame, as far as it has come. */
  readonly #collected = Buffer.alloc(LARGEST_ERROR_FRAME_BYTES);
  #collectedBytes = 0;
  #wantedBytes = LENGTH_BYTES;
  #isInFrame = false;
  #skippedBytes = 0;

  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      const skipped = Math.min(this.#skippedBytes, chunk.length - at);
      this.#skippedBytes -= skipped;
      at += skipped;
      if (this.#skippedBytes > 0) return;
      const taken = chunk.copy(
        this.#collected,
        this.#collectedBytes,
        at,
        at + this.#wantedBytes - this.#collectedBytes,
      );
      this.#collectedBytes += taken;
      at += taken;
      if (this.#collectedBytes === this.#wantedBytes) this.#onCollected();
    }
  }

  #onCollected(): void {
    const sizeBytes = this.#isInFrame ? 0 : this.#collected.readUInt32BE(0);
    if (this.#isInFrame && isErrorEvent(this.#collected.subarray(0, this.#collectedBytes))) this.hasError = true;
    this.#collectedBytes = 0;
    this.#isInFrame = sizeBytes > 0 && sizeBytes <= LARGEST_ERROR_FRAME_BYTES;
    this.#wantedBytes = this.#isInFrame ? sizeBytes : LENGTH_BYTES;
    this.#skippedBytes = this.#isInFrame ? 0 : sizeBytes;
  }
}

function isErrorEvent(frame: Buffer): boolean {
  try {
    const event = decode(frame);
    return typeof event === 'object' && event !== null && 'event_type' in event && event.event_type === 'error';
  } catch {
    return false;
  }
}

const ERROR_LINE = 'event: error';
const LINE_FEED = 0x0a;

/** Inside an event's JSON no line can begin anew, so the words at the start of a line are an event's name. */
class SseErrorWatch implements StreamErrorWatch {
  hasError = false;
  /** What came last, with the line feed before the first byte, so that a line across two chunks is seen. */
  #tail: Buffer = Buffer.from('\n');

  push(chunk: Buffer): void {
    if (this.hasError) return;
    const seam = Buffer.concat([this.#tail, chunk.subarray(0, ERROR_LINE.length)]);
    this.hasError = hasErrorLine(seam) || hasErrorLine(chunk);
    const last = chunk.length > ERROR_LINE.length ? chunk : seam;
    // A copy: the chunk's memory is used again.
    this.#tail = Buffer.from(last.subarray(-ERROR_LINE.length));
  }
}

function hasErrorLine(bytes: Buffer): boolean {
  for (let at = bytes.indexOf(ERROR_LINE); at !== -1; at = bytes.indexOf(ERROR_LINE, at + 1))
    if (bytes[at - 1] === LINE_FEED) return true;
  return false;
}
