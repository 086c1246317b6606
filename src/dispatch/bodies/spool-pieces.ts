// A body on its way out of its file: piece by piece, through one small stretch of memory.
import { getDefaultHighWaterMark } from 'node:stream';
import { BodyLost } from '../../upstream/exchange-failure.ts';
import type { BodyPieces } from '../../upstream/exchange.ts';
import { SMALL_BODY_BYTES } from './body-room.ts';
import { freeBuffer } from './free-buffer.ts';
import type { SpoolFile } from './spool-file.ts';

/**
 * Read anew each time it is iterated. Every piece lies in the same memory, and is overwritten when the next is asked for. A sender
 * that waits while its connection is full, as undici does, asks only when the system has all of the piece: each one is larger
 * than what a connection takes without asking for that wait.
 */
export class SpoolPieces implements BodyPieces {
  readonly sizeBytes: number;
  readonly #file: SpoolFile;

  constructor(file: SpoolFile) {
    this.sizeBytes = file.sizeBytes;
    this.#file = file;
  }

  /** @throws {BodyLost} when the disk does not give it back. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, undefined> {
    const pieceBytes = Math.ceil(this.sizeBytes / Math.ceil(this.sizeBytes / SMALL_BODY_BYTES));
    const memory = Buffer.allocUnsafeSlow(pieceBytes);
    let lastBytes = pieceBytes;
    for (let atBytes = 0; atBytes < this.sizeBytes; atBytes += pieceBytes) {
      const piece = memory.subarray(0, Math.min(pieceBytes, this.sizeBytes - atBytes));
      lastBytes = piece.length;
      await this.#file.readInto(piece, atBytes).catch((cause: unknown) => {
        throw new BodyLost(cause);
      });
      yield piece;
    }
    // Of a sending that broke off, the system may still have some: V8 then frees the memory in its own time.
    if (lastBytes >= getDefaultHighWaterMark(false)) freeBuffer(memory);
  }
}
